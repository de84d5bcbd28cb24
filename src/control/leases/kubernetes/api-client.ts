/**
 * Requests to the API server. Lists and patches are requests of Node's own with the library's credentials: its CoreV1Api
 * would make objects of every field of every node (docs/decisions/0010-kubernetes-client.md). The watch is the library's.
 */

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  type Agent,
  type ClientRequest,
  type IncomingMessage,
  request as plainRequest,
  STATUS_CODES,
} from 'node:http';
import { type RequestOptions, request as tlsRequest } from 'node:https';
import type { KubernetesOptions } from '../../options.js';
import { ApiError, messageOf } from './api-error.js';
import { loadConfig } from './kubeconfig.js';
import { type KubeConfig, Watch } from './library.js';
import type { Timing } from './timing.js';

const STRATEGIC_MERGE_PATCH = 'application/strategic-merge-patch+json';
/** Node tells here of every response that a client gets. */
const RESPONSES = 'http.client.response.finish';

/** The library's: headers, and an agent with certificates. */
export type Credentials = Pick<RequestOptions, 'headers' | 'agent' | 'auth'>;

export interface WatchRequest {
  path: string;
  query: Record<string, string | number | boolean>;
  /** The connection is given up after this. */
  deadlineMs: number;
  /** The server has taken the watch. */
  onAccepted(): void;
  /** One event, as JSON has it. It must not throw: the library would hide that. */
  onEvent(type: string, object: unknown): void;
}

export class ApiClient {
  private readonly load: () => Promise<KubeConfig>;
  private readonly silenceMs: number;
  private config: KubeConfig;

  private constructor(load: () => Promise<KubeConfig>, config: KubeConfig, timing: Timing) {
    this.load = load;
    this.config = config;
    this.silenceMs = timing.silenceMs;
  }

  /** @throws UserError when the options name no usable configuration */
  static async open(options: KubernetesOptions, root: string, timing: Timing): Promise<ApiClient> {
    const load = (): Promise<KubeConfig> => loadConfig(options, root);
    return new ApiClient(load, await load(), timing);
  }

  get server(): string {
    return this.config.getCurrentCluster()?.server ?? '';
  }

  /** Reads token, certificates and kubeconfig anew: they may have been exchanged. What is no good leaves the old ones. */
  async reload(): Promise<void> {
    try {
      this.config = await this.load();
    } catch {
      // Half written, perhaps. The next refusal brings us here again.
    }
  }

  /** Who we are, for one request or for some that follow each other: those resume each other's TLS. @throws ApiError */
  async credentials(): Promise<Credentials> {
    const options: RequestOptions = {};
    try {
      await this.config.applyToHTTPSOptions(options);
    } catch (error) {
      // A token file that is just being exchanged.
      throw new ApiError((error as Error).message);
    }
    return options;
  }

  /** The object at a path. @throws ApiError */
  async get(path: string, signal: AbortSignal, credentials?: Credentials): Promise<unknown> {
    return await this.send('GET', path, undefined, signal, credentials);
  }

  /** Applies a strategic merge patch and returns the object after it. @throws ApiError */
  async patch(path: string, body: string, signal: AbortSignal): Promise<unknown> {
    return await this.send('PATCH', path, body, signal);
  }

  /** Resolves when the server ended the watch; it may have ended it at once. @throws ApiError */
  async watch(request: WatchRequest, signal: AbortSignal): Promise<void> {
    let agent: Agent | undefined;
    let retryAfter: string | undefined;
    let over = false;
    const config = Object.create(this.config) as KubeConfig;
    config.applyToFetchOptions = async (options) => {
      const init = await this.config.applyToFetchOptions(options);
      if (over) throw new Error('given up before it was sent');
      agent = init.agent as Agent;
      return init;
    };
    // The library tells of a refusal nothing but the status.
    const listen = (message: unknown): void => {
      const { request: sent, response } = message as { request: ClientRequest; response: IncomingMessage };
      if ((sent as unknown as { agent: Agent }).agent === agent) retryAfter = response.headers['retry-after'];
    };
    subscribe(RESPONSES, listen);
    let stop = (_: Error): void => {};
    // The library cannot be told to stop before the server has answered: its connection is taken away.
    const aborted = (): void => stop(signal.reason as Error);
    const timers: NodeJS.Timeout[] = [];
    try {
      await new Promise<void>((resolve, reject) => {
        stop = reject;
        signal.throwIfAborted();
        signal.addEventListener('abort', aborted, { once: true });
        const giveUp = (ms: number): void => {
          timers.push(setTimeout(() => reject(new ApiError(`no answer for ${ms / 1000} s`)), ms));
        };
        giveUp(this.silenceMs);
        const onEvent = (type: string, object: unknown): void => {
          if (!over) request.onEvent(type, object);
        };
        const done = (error: unknown): void => {
          over = true;
          if (error === null || error === undefined) resolve();
          else reject(watchError(error as Error, retryAfter));
        };
        new Watch(config).watch(request.path, request.query, onEvent, done).then(() => {
          clearTimeout(timers[0]);
          if (over) return;
          giveUp(request.deadlineMs);
          request.onAccepted();
        }, reject);
      });
    } finally {
      over = true;
      for (const timer of timers) clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
      unsubscribe(RESPONSES, listen);
      agent?.destroy();
    }
  }

  private async send(
    method: string,
    path: string,
    body: string | undefined,
    signal: AbortSignal,
    credentials?: Credentials,
  ): Promise<unknown> {
    const options = credentials ?? (await this.credentials());
    const headers = { ...options.headers, Accept: 'application/json' };
    if (body !== undefined) Object.assign(headers, { 'Content-Type': STRATEGIC_MERGE_PATCH });
    const url = new URL(this.server + path);
    const { status, retryAfter, text } = await exchange(
      url,
      { ...options, method, headers, signal, timeout: this.silenceMs },
      body,
    ).catch((error: Error) => {
      signal.throwIfAborted();
      throw new ApiError(
        `${method} ${url.origin}${url.pathname}: ${error.message || (error as NodeJS.ErrnoException).code}`,
      );
    });
    if (status < 200 || status > 299) {
      throw new ApiError(
        messageOf(text, `${status} ${STATUS_CODES[status] ?? ''}`.trim()),
        status,
        retryAfter,
      );
    }
    try {
      return JSON.parse(text);
    } catch {
      throw new ApiError(`${method} ${url.origin}${url.pathname}: the answer is not JSON`);
    }
  }
}

interface Answer {
  status: number;
  retryAfter: string | undefined;
  text: string;
}

function exchange(url: URL, options: RequestOptions, body: string | undefined): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'http:' ? plainRequest : tlsRequest;
    const call = send(url, options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          retryAfter: response.headers['retry-after'],
          text: Buffer.concat(chunks).toString('utf8'),
        }),
      );
    });
    call.once('timeout', () =>
      call.destroy(new Error(`no answer for ${(options.timeout as number) / 1000} s`)),
    );
    call.once('error', reject);
    call.end(body);
  });
}

/** The library's error for a status has it as a property; any other is one of the connection. */
function watchError(error: Error & { statusCode?: number }, retryAfter: string | undefined): ApiError {
  if (error.statusCode === undefined) return new ApiError(error.message);
  return new ApiError(`${error.statusCode} ${error.message}`, error.statusCode, retryAfter);
}
