/**
 * A test API server over HTTPS that lists, patches and watches nodes, and reads pods. A test can make it replay recorded
 * exchanges byte for byte.
 */

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { type Exchange, exchange } from './kube-exchanges.js';
import type { KubeNode } from './kube-nodes.js';
import { mergeStatusPatch } from './kube-patch.js';

export interface SeenRequest {
  method: string;
  /** Path and query. */
  path: string;
  contentType: string | undefined;
  authorization: string | undefined;
  userAgent: string | undefined;
  /** CN of the client's certificate. */
  client: string | undefined;
  body: string;
}

interface WatchEvent {
  version: number;
  line: string;
}

/** `cut`: close the connection before the last chunk. */
interface Replay {
  exchange: Exchange;
  applies: (request: SeenRequest) => boolean;
  times: number;
  cut: boolean;
}

export class KubeApi {
  readonly requests: SeenRequest[] = [];
  readonly nodes = new Map<string, KubeNode>();
  /** Node of each pod, by namespace/name. */
  readonly pods = new Map<string, string | undefined>();
  /** The bearer token that it requires, if any. */
  token: string | undefined;
  /** Accept every watch and end it at once. */
  refuseToStream = false;
  /** Ignore timeoutSeconds of watches. */
  deafToTimeouts = false;
  version = 100;
  /** Directory of its certificates. */
  readonly dir: string;
  private server: Server;
  private address = { host: '127.0.0.1', port: 0 };
  /** Oldest version that is not compacted. */
  private oldest = 100;
  private readonly events: WatchEvent[] = [];
  private readonly watches = new Set<ServerResponse>();
  private replays: Replay[] = [];

  private constructor(dir: string) {
    this.dir = dir;
    this.server = this.newServer();
  }

  /** Starts a server that creates its certificates in `dir`; port 0 is any free port. */
  static async start(dir: string, host = '127.0.0.1', port = 0): Promise<KubeApi> {
    makeCertificates(dir, host);
    const api = new KubeApi(dir);
    api.address = { host, port };
    await api.listen();
    return api;
  }

  get url(): string {
    return `https://${this.address.host}:${this.address.port}`;
  }

  get openWatches(): number {
    return this.watches.size;
  }

  /** Writes a kubeconfig for this server and returns its path. */
  writeKubeconfig(user: { token: string } | { tokenFile: string } | 'certificate' | undefined): string {
    const path = join(this.dir, 'kubeconfig.json');
    const certificate = {
      'client-certificate': join(this.dir, 'client.pem'),
      'client-key': join(this.dir, 'client.key'),
    };
    writeFileSync(
      path,
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'test',
        contexts: [{ name: 'test', context: { cluster: 'test', user: 'weft' } }],
        clusters: [
          { name: 'test', cluster: { server: this.url, 'certificate-authority': join(this.dir, 'ca.pem') } },
        ],
        users: [{ name: 'weft', user: user === 'certificate' ? certificate : (user ?? {}) }],
      }),
    );
    return path;
  }

  /** The CA certificate. */
  get ca(): string {
    return readFileSync(join(this.dir, 'ca.pem'), 'utf8');
  }

  /** Makes a new CA and certificates, which the server uses from its next start. */
  renewCertificates(): void {
    makeCertificates(this.dir, this.address.host);
  }

  /** Adds or replaces a node and sends the event. */
  put(node: KubeNode): void {
    const known = this.nodes.get(node.metadata.name);
    this.nodes.set(node.metadata.name, node);
    this.sendEvent(known === undefined ? 'ADDED' : 'MODIFIED', node);
  }

  /** Changes a node and sends the event. */
  change(name: string, edit: (node: KubeNode) => void): void {
    const node = structuredClone(this.nodes.get(name)) as KubeNode;
    edit(node);
    this.put(node);
  }

  remove(name: string): void {
    const node = this.nodes.get(name) as KubeNode;
    this.nodes.delete(name);
    this.sendEvent('DELETED', node);
  }

  /** Adds nodes without events, before there are watches. */
  fill(nodes: Iterable<KubeNode>): void {
    for (const node of nodes) {
      node.metadata.resourceVersion = String(++this.version);
      this.nodes.set(node.metadata.name, node);
    }
    this.compact();
  }

  bookmark(): void {
    const object = { kind: 'Node', apiVersion: 'v1', metadata: { resourceVersion: String(this.version) } };
    this.send(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
  }

  /** Drops all events; older versions get 410 from now on. */
  compact(): void {
    this.events.length = 0;
    this.oldest = this.version;
  }

  /** Advances the version without an event. */
  tick(): void {
    this.version++;
  }

  /** Writes text into every open watch. */
  send(text: string): void {
    for (const watch of this.watches) watch.write(text);
  }

  /** Ends every watch, as after its timeoutSeconds. */
  endWatches(): void {
    for (const watch of this.watches) watch.end();
    this.watches.clear();
  }

  /** Writes text into every watch and closes its connection without a last chunk. */
  async cutWatches(text = '\n'): Promise<void> {
    const watches = [...this.watches];
    this.watches.clear();
    for (const watch of watches) {
      await new Promise((resolve) => watch.write(text, resolve));
      watch.socket?.destroy();
    }
  }

  /** Answers the next `times` matching requests with a recorded exchange. */
  replay(
    name: string,
    { applies = () => true, times = 1, cut = false }: Partial<Omit<Replay, 'exchange'>> = {},
  ): void {
    this.replays.push({ exchange: exchange(name), applies, times, cut });
  }

  stopReplays(): void {
    this.replays = [];
  }

  /** Closes all connections and stops listening. */
  async stop(): Promise<void> {
    this.watches.clear();
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  /** Listens again on the same port. */
  async restart(): Promise<void> {
    this.server = this.newServer();
    await this.listen();
  }

  /** Returns the requests of a method whose path matches. */
  seen(method: string, path: RegExp): SeenRequest[] {
    return this.requests.filter((request) => request.method === method && path.test(request.path));
  }

  private newServer(): Server {
    const file = (name: string): Buffer => readFileSync(join(this.dir, name));
    return createServer(
      {
        cert: file('ca.pem'),
        key: file('ca.key'),
        ca: file('ca.pem'),
        requestCert: true,
        rejectUnauthorized: false,
      },
      (request, response) => void this.answer(request, response),
    );
  }

  private async listen(): Promise<void> {
    this.server.listen(this.address.port, this.address.host);
    await once(this.server, 'listening');
    this.address.port = (this.server.address() as AddressInfo).port;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk as string;
    const seen: SeenRequest = {
      method: request.method as string,
      path: request.url as string,
      contentType: request.headers['content-type'],
      authorization: request.headers.authorization,
      userAgent: request.headers['user-agent'],
      client: clientOf(request.socket as TLSSocket),
      body,
    };
    this.requests.push(seen);
    const replay = this.replays.find(({ applies, times }) => times > 0 && applies(seen));
    if (replay !== undefined) {
      replay.times--;
      await answerWith(response, replay.exchange, replay.cut);
    } else if (this.token !== undefined && seen.authorization !== `Bearer ${this.token}`) {
      await answerWith(response, exchange('error-401'));
    } else await this.serve(seen, response);
  }

  private async serve(
    { method, path, contentType, body }: SeenRequest,
    response: ServerResponse,
  ): Promise<void> {
    const url = new URL(path, this.url);
    const [, node, status] = /^\/api\/v1\/nodes\/([^/]+)(\/status)?$/.exec(url.pathname) ?? [];
    const [, namespace, pod] = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)$/.exec(url.pathname) ?? [];
    if (method === 'GET' && url.pathname === '/api/v1/nodes') {
      if (url.searchParams.has('watch')) this.watch(url.searchParams, response);
      else await this.list(url.searchParams, response);
    } else if (method === 'PATCH' && node !== undefined && status !== undefined) {
      const known = this.nodes.get(node);
      if (contentType !== 'application/strategic-merge-patch+json') {
        return await answerWith(response, exchange('error-415-patch-type'));
      }
      if (known === undefined) return await answerWith(response, exchange('error-404-patch-status'));
      const patched = mergeStatusPatch(known, body);
      if (JSON.stringify(patched) !== JSON.stringify(known)) this.put(patched);
      reply(response, 200, this.nodes.get(node));
    } else if (method === 'GET' && namespace !== undefined && this.pods.has(`${namespace}/${pod}`)) {
      reply(response, 200, {
        metadata: { name: pod },
        spec: { nodeName: this.pods.get(`${namespace}/${pod}`) },
      });
    } else reply(response, 404, { kind: 'Status', message: `${url.pathname} not found`, code: 404 });
  }

  private async list(query: URLSearchParams, response: ServerResponse): Promise<void> {
    const names = [...this.nodes.keys()].sort();
    const limit = Number(query.get('limit') ?? names.length);
    const token = query.get('continue');
    const { rv, start } =
      token === null
        ? { rv: this.version, start: 0 }
        : (JSON.parse(Buffer.from(token, 'base64url').toString()) as { rv: number; start: number });
    if (rv < this.oldest) return await answerWith(response, exchange('error-410-list-continue'));
    const end = start + limit;
    const more = end < names.length;
    const next = Buffer.from(JSON.stringify({ rv, start: end })).toString('base64url');
    reply(response, 200, {
      kind: 'NodeList',
      apiVersion: 'v1',
      metadata: { resourceVersion: String(rv), ...(more ? { continue: next } : {}) },
      items: names.slice(start, end).map((name) => this.nodes.get(name)),
    });
  }

  private watch(query: URLSearchParams, response: ServerResponse): void {
    response.writeHead(200, { 'Content-Type': 'application/json' });
    const version = Number(query.get('resourceVersion'));
    if (version < this.oldest) {
      const message = `too old resource version: ${version} (${this.oldest})`;
      response.end(
        `${JSON.stringify({ type: 'ERROR', object: { kind: 'Status', message, reason: 'Expired', code: 410 } })}\n`,
      );
      return;
    }
    response.flushHeaders();
    for (const event of this.events) if (event.version > version) response.write(event.line);
    if (this.refuseToStream) {
      response.end();
      return;
    }
    this.watches.add(response);
    response.once('close', () => this.watches.delete(response));
    if (this.deafToTimeouts) return;
    setTimeout(() => response.end(), Number(query.get('timeoutSeconds') ?? 300) * 1000).unref();
  }

  private sendEvent(type: string, node: KubeNode): void {
    node.metadata.resourceVersion = String(++this.version);
    const object = { kind: 'Node', apiVersion: 'v1', ...node };
    const event = { version: this.version, line: `${JSON.stringify({ type, object })}\n` };
    this.events.push(event);
    this.send(event.line);
  }
}

function reply(response: ServerResponse, status: number, object: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(object));
}

async function answerWith(response: ServerResponse, recorded: Exchange, cut = false): Promise<void> {
  response.writeHead(recorded.status, recorded.headers);
  if (!cut) {
    response.end(recorded.body);
    return;
  }
  await new Promise((resolve) => response.write(recorded.body, resolve));
  response.socket?.destroy();
}

function clientOf(socket: TLSSocket): string | undefined {
  const name = socket.getPeerCertificate().subject?.CN;
  return Array.isArray(name) ? name[0] : name;
}

/** Creates ca.pem and ca.key for the server, and client.pem and client.key signed by this CA. */
function makeCertificates(dir: string, host: string): void {
  const make = (name: string, subject: string, ...more: string[]): void => {
    const key = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      join(dir, `${name}.key`),
    ];
    execFileSync(
      'openssl',
      ['req', '-x509', ...key, '-out', join(dir, `${name}.pem`), '-subj', subject, '-days', '2', ...more],
      { stdio: 'pipe' },
    );
  };
  make('ca', '/CN=kube-api', '-addext', `subjectAltName=IP:${host}`);
  make('client', '/O=weft/CN=weft-client', '-CA', join(dir, 'ca.pem'), '-CAkey', join(dir, 'ca.key'));
}
