/** flanneld's health endpoints /healthz and /readyz, and the metrics at /metrics. */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { isIPv6 } from 'node:net';
import type { HealthOptions } from './options.js';
import { ConnectionLimit } from './support/connection-limit.js';
import { info, warn } from './support/log.js';
import { printableLines } from './support/printable.js';
import { UserError } from './support/user-error.js';

/** A connection without traffic is closed after this time, whatever it waits for. */
const IDLE_MS = 5_000;
/** Limits on a connection, because any host in the network may connect. Node closes one that exceeds a time. */
const LIMITS = {
  headersTimeout: 2_000,
  requestTimeout: 3_000,
  keepAliveTimeout: IDLE_MS,
  /** How often Node checks the times; 30 s by default. */
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 8 << 10,
};
/** Far more connections than probes and load balancers need; they use about 1 MiB. Of more the oldest are closed. */
const MAX_CONNECTIONS = 128;

export interface HealthServer {
  /** Closes the connections too. An answer is complete as soon as its request is read, except that of /metrics. */
  close(): Promise<void>;
}

const TEXT = 'text/plain; charset=utf-8';
/** Prometheus's text format. */
const METRICS = 'text/plain; version=0.0.4; charset=utf-8';

/**
 * Starts the server. `notReady` returns why the node is not ready, null when it is. `metrics` returns the page of
 * /metrics.
 * @throws UserError when it cannot listen on the address
 */
export async function listenHealth(
  { address, port }: HealthOptions,
  notReady: () => string | null,
  metrics?: () => Promise<Buffer>,
): Promise<HealthServer> {
  const where = `${isIPv6(address) ? `[${address}]` : address}:${port}`;
  const server = createServer(LIMITS, (request, response) =>
    answer(request, response, { notReady, metrics }),
  );
  const limit = new ConnectionLimit(MAX_CONNECTIONS);
  server.on('connection', (socket) => limit.add(socket));
  server.setTimeout(IDLE_MS);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, address, resolve);
    });
  } catch (error) {
    const reason = listenError(error as NodeJS.ErrnoException, { address, port });
    throw new UserError(`Start healthz server error. listen tcp ${where}: ${reason}`);
  }
  server.removeAllListeners('error').on('error', (error) => warn(`healthz server: ${error.message}`));
  info(`Start healthz server on ${where}`);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Answers {
  notReady: () => string | null;
  metrics: (() => Promise<Buffer>) | undefined;
}

function answer(request: IncomingMessage, response: ServerResponse, { notReady, metrics }: Answers): void {
  const [path] = (request.url ?? '').split('?');
  const page = path === '/metrics' ? metrics : undefined;
  if (path !== '/healthz' && path !== '/readyz' && page === undefined)
    return respond(response, 404, '404 page not found');
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    return respond(response, 405, 'only GET and HEAD');
  }
  if (page !== undefined) return void respondLater(response, page);
  if (path === '/healthz') return respond(response, 200, 'flanneld is running');
  const reason = notReady();
  return reason === null
    ? respond(response, 200, 'flanneld is ready')
    : respond(response, 503, printableLines(reason));
}

async function respondLater(response: ServerResponse, metrics: () => Promise<Buffer>): Promise<void> {
  try {
    respond(response, 200, await metrics(), METRICS);
  } catch (error) {
    respond(response, 500, printableLines((error as Error).message));
  }
}

function respond(response: ServerResponse, status: number, body: string | Buffer, type = TEXT): void {
  response.statusCode = status;
  response.setHeader('Content-Type', type);
  response.setHeader('Content-Length', Buffer.byteLength(body));
  response.end(body);
}

/** Returns why the server cannot listen, in Go's words as far as operators search for them, and the remedy. */
function listenError(error: NodeJS.ErrnoException, { address, port }: HealthOptions): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return `bind: address already in use; find and stop the process that listens there (ss -ltnp "sport = :${port}"), or choose another --healthz-port`;
    case 'EADDRNOTAVAIL':
      return `bind: cannot assign requested address; --healthz-ip must be an address of this node, or 0.0.0.0 for all`;
    case 'EACCES':
      return `bind: permission denied; choose a --healthz-port above 1023, or grant CAP_NET_BIND_SERVICE`;
    case 'ERR_SOCKET_BAD_PORT':
      return `invalid port; --healthz-port must be from 1 to 65535, or 0 to disable the endpoints`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `lookup ${address}: no such host; --healthz-ip must be an address of this node, or 0.0.0.0 for all`;
    default:
      return `${error.message}; check --healthz-ip and --healthz-port`;
  }
}
