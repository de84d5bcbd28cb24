/** The health endpoints /healthz and /readyz, as flanneld has them. */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { isIPv6 } from 'node:net';
import type { HealthOptions } from './options.js';
import { info, warn } from './support/log.js';
import { UserError } from './support/user-error.js';

/** Anyone in the network may connect. Whoever does not ask within these times is sent away. */
const LIMITS = {
  headersTimeout: 2_000,
  requestTimeout: 3_000,
  keepAliveTimeout: 5_000,
  /** Node looks this often for who is late; by itself every 30 s. */
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 8 << 10,
};
/** Many more than probes and balancers need, few enough to cost nothing: about 1 MiB. */
const MAX_CONNECTIONS = 128;

export interface HealthServer {
  /** Ends connections too: an answer is complete once its request was read. */
  close(): Promise<void>;
}

/**
 * Starts to answer; `obstacle` says why the node is not ready, null when it is.
 * @throws UserError when the address cannot be listened on
 */
export async function listenHealth(
  { address, port }: HealthOptions,
  obstacle: () => string | null,
): Promise<HealthServer> {
  const where = `${isIPv6(address) ? `[${address}]` : address}:${port}`;
  const server = createServer(LIMITS, (request, response) => answer(request, response, obstacle));
  server.maxConnections = MAX_CONNECTIONS;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, address, resolve);
    });
  } catch (error) {
    const reason = explain(error as NodeJS.ErrnoException, { address, port });
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

function answer(request: IncomingMessage, response: ServerResponse, obstacle: () => string | null): void {
  const [path] = (request.url ?? '').split('?');
  if (path !== '/healthz' && path !== '/readyz') return say(response, 404, '404 page not found');
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    return say(response, 405, 'only GET and HEAD');
  }
  if (path === '/healthz') return say(response, 200, 'flanneld is running');
  const reason = obstacle();
  return reason === null ? say(response, 200, 'flanneld is ready') : say(response, 503, reason);
}

function say(response: ServerResponse, status: number, text: string): void {
  response.statusCode = status;
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.setHeader('Content-Length', Buffer.byteLength(text));
  response.end(text);
}

/** Why it cannot be listened on, in Go's words where an operator may look for them, and what to do. */
function explain(error: NodeJS.ErrnoException, { address, port }: HealthOptions): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return `bind: address already in use; find and stop what listens there (ss -ltnp "sport = :${port}"), or choose another --healthz-port`;
    case 'EADDRNOTAVAIL':
      return `bind: cannot assign requested address; --healthz-ip must be an address of this node, 0.0.0.0 for all`;
    case 'EACCES':
      return `bind: permission denied; choose a --healthz-port above 1023, or grant CAP_NET_BIND_SERVICE`;
    case 'ERR_SOCKET_BAD_PORT':
      return `invalid port; --healthz-port must be from 1 to 65535, 0 for none`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `lookup ${address}: no such host; --healthz-ip must be an address of this node, 0.0.0.0 for all`;
    default:
      return `${error.message}; look at --healthz-ip and --healthz-port`;
  }
}
