/**
 * Requests to the API server: Node's own, with the credentials of the library's KubeConfig. The library's CoreV1Api would
 * make an object of every field of every node (docs/decisions/0010-kubernetes-client.md).
 */

import { type ClientRequest, request as httpRequest, type IncomingMessage, STATUS_CODES } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { text as textOf } from 'node:stream/consumers';
import { ApiError, messageOf } from './api-error.js';
import type { KubeConfig } from './library.js';

const STRATEGIC_MERGE_PATCH = 'application/strategic-merge-patch+json';
/** TCP probes on an accepted watch, which is silent between events. */
const KEEP_ALIVE_MS = 30_000;

/** Headers, and an agent with certificates. */
type Credentials = Pick<RequestOptions, 'headers' | 'agent' | 'auth'>;

interface WatchCall {
  /** Path and query. */
  path: string;
  /** Longest silence of an accepted watch; a longer one fails it. */
  silenceMs: number;
  onAccepted(): void;
  /** One event, as parsed JSON. An error that it throws ends the watch. */
  onEvent(type: string, object: unknown): void;
}

interface Call {
  method: 'GET' | 'PATCH';
  path: string;
  body?: string;
  credentials?: Credentials | undefined;
  signal: AbortSignal;
}

export class ApiClient {
  private readonly load: () => Promise<KubeConfig>;
  private readonly answerMs: number;
  private config: KubeConfig;

  /** `load` reads the configuration again; `answerMs` is the longest wait for an answer. */
  constructor(load: () => Promise<KubeConfig>, config: KubeConfig, answerMs: number) {
    this.load = load;
    this.config = config;
    this.answerMs = answerMs;
  }

  /** Rereads token, certificates and kubeconfig, which may have been rotated. An unusable configuration is ignored. */
  async reload(): Promise<void> {
    try {
      this.config = await this.load();
    } catch {
      // The files may be half written; the next 401 reloads them.
    }
  }

  /** Returns credentials for one request, or for several in a row, which then resume one TLS session. @throws ApiError */
  async credentials(): Promise<Credentials> {
    const options: RequestOptions = {};
    try {
      await this.config.applyToHTTPSOptions(options);
    } catch (error) {
      // The token file may be in rotation.
      throw new ApiError((error as Error).message);
    }
    return options;
  }

  /** Returns the object at a path. @throws ApiError */
  async get(path: string, signal: AbortSignal, credentials?: Credentials): Promise<unknown> {
    return await this.send({ method: 'GET', path, signal, credentials }, objectOf);
  }

  /** Applies a strategic merge patch and returns the patched object. @throws ApiError */
  async patch(path: string, body: string, signal: AbortSignal): Promise<unknown> {
    return await this.send({ method: 'PATCH', path, body, signal }, objectOf);
  }

  /** Resolves when the server ends the watch. @throws ApiError, and what `onEvent` throws */
  async watch({ path, silenceMs, onAccepted, onEvent }: WatchCall, signal: AbortSignal): Promise<void> {
    await this.send({ method: 'GET', path, signal }, async (response) => {
      response.socket.setTimeout(silenceMs);
      response.socket.setKeepAlive(true, KEEP_ALIVE_MS);
      onAccepted();
      await eachLine(response, (line) => {
        const { type, object } = parse(line) as { type: string; object: unknown };
        onEvent(type, object);
      });
    });
  }

  /** Sends a request and reads the body of a 2xx response; any other response becomes an ApiError. */
  private async send<T>(call: Call, read: (response: IncomingMessage) => Promise<T>): Promise<T> {
    const { method, path, body, signal } = call;
    const options = call.credentials ?? (await this.credentials());
    const headers = { ...options.headers, Accept: 'application/json' };
    if (body !== undefined) Object.assign(headers, { 'Content-Type': STRATEGIC_MERGE_PATCH });
    const url = new URL((this.config.getCurrentCluster()?.server ?? '') + path);
    try {
      return await exchange(url, { ...options, method, headers, signal, timeout: this.answerMs }, body, read);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ApiError) throw error;
      const { message, code } = error as NodeJS.ErrnoException;
      throw new ApiError(`${method} ${url.origin}${url.pathname}: ${message || code}`);
    }
  }
}

function exchange<T>(
  url: URL,
  options: RequestOptions,
  body: string | undefined,
  read: (response: IncomingMessage) => Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = url.protocol === 'http:' ? httpRequest : httpsRequest;
    const call: ClientRequest = request(url, options, (response) => {
      refuseFailure(response)
        .then(() => read(response))
        .then(resolve, reject);
    });
    call.on('timeout', () => {
      call.destroy(new Error(`no answer for ${(call.socket?.timeout ?? 0) / 1000} s`));
    });
    call.on('error', reject);
    call.end(body);
  });
}

/** @throws ApiError for a response that is not 2xx */
async function refuseFailure(response: IncomingMessage): Promise<void> {
  const { statusCode: status = 0, headers } = response;
  if (status >= 200 && status <= 299) return;
  const inWords = `${status} ${STATUS_CODES[status] ?? ''}`.trim();
  throw new ApiError(messageOf(await textOf(response), inWords), status, headers['retry-after']);
}

async function objectOf(response: IncomingMessage): Promise<unknown> {
  return parse(await textOf(response));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('the answer is not JSON');
  }
}

/** Calls back with each line that is not empty. An error that the callback throws closes the connection. */
async function eachLine(response: IncomingMessage, onLine: (line: string) => void): Promise<void> {
  let rest = '';
  for await (const chunk of response.setEncoding('utf8')) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') onLine(line);
  }
}
