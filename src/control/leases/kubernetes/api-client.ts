/**
 * Requests to the API server: Node's own, with the credentials of the library's KubeConfig. The library's CoreV1Api would
 * make an object of every field of every node (docs/decisions/0010-kubernetes-client.md).
 */

import { type ClientRequest, request as httpRequest, type IncomingMessage, STATUS_CODES } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { oneLine } from '../../../sys/one-line.js';
import { version } from '../../../version.js';
import type { Credentials } from '../credentials.js';
import { explainTlsError, withoutOpensslDetails } from '../tls-error.js';
import { ApiError, messageOf } from './api-error.js';
import type { ApiAccess } from './kubeconfig.js';

const STRATEGIC_MERGE_PATCH = 'application/strategic-merge-patch+json';
/** TCP probes on an accepted watch, which is silent between events. */
const KEEP_ALIVE_MS = 30_000;

/** The longest answer in characters: a page of 500 nodes has 6 MB. */
const MAX_ANSWER = 64 << 20;
/** The longest event of a watch: etcd stores objects of at most 1.5 MiB. */
const MAX_EVENT = 16 << 20;

/** The API server records the part before the slash as the manager of the fields that a patch sets. */
const USER_AGENT = `weft/${version()}`;

/** HTTP statuses after which the files are read again: another user may be in them. */
const REFUSALS = [401, 403];

/** The API server, with headers, and an agent with certificates. */
interface Target {
  access: ApiAccess;
  options: Pick<RequestOptions, 'headers' | 'agent' | 'auth'>;
}

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
  target?: Target | undefined;
  signal: AbortSignal;
}

export class ApiClient {
  private readonly access: Credentials<ApiAccess>;
  private readonly answerMs: number;

  /** `answerMs` is the longest wait for an answer. */
  constructor(access: Credentials<ApiAccess>, answerMs: number) {
    this.access = access;
    this.answerMs = answerMs;
  }

  /** The files with server and credentials. */
  get files(): readonly string[] {
    return this.access.files;
  }

  /** Waits before a retry; ends early when refused credentials are replaced. */
  async pause(waitMs: number, signal: AbortSignal): Promise<void> {
    await this.access.pause(waitMs, signal);
  }

  /** Returns the target of one request, or of several in a row, which then resume one TLS session. @throws ApiError */
  async target(): Promise<Target> {
    const access = await this.access.current();
    const options: RequestOptions = {};
    try {
      await access.config.applyToHTTPSOptions(options);
    } catch (error) {
      // An exec plugin or an auth provider fails.
      this.access.refuse();
      const failure = new ApiError(oneLine((error as Error).message));
      throw failure.withRemedy(`correct the credentials in ${access.credentials}`);
    }
    return { access, options };
  }

  /** Returns the object at a path. @throws ApiError */
  async get(path: string, signal: AbortSignal, target?: Target): Promise<unknown> {
    return await this.send({ method: 'GET', path, signal, target }, objectOf);
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
    const { access, options } = call.target ?? (await this.target());
    const headers = { ...options.headers, Accept: 'application/json', 'User-Agent': USER_AGENT };
    if (body !== undefined) Object.assign(headers, { 'Content-Type': STRATEGIC_MERGE_PATCH });
    const url = new URL(access.server + path);
    try {
      return await exchange(url, { ...options, method, headers, signal, timeout: this.answerMs }, body, read);
    } catch (error) {
      signal.throwIfAborted();
      throw this.failure(error as NodeJS.ErrnoException, access, `${method} ${url.origin}${url.pathname}`);
    }
  }

  /** Returns the error of a request; remembers if other credentials may help. */
  private failure(error: NodeJS.ErrnoException, access: ApiAccess, request: string): ApiError {
    if (error instanceof ApiError) {
      if (error.status === undefined || !REFUSALS.includes(error.status)) return error;
      this.access.refuse();
      // An anonymous request is one whose credentials are missing, not one whose user lacks a right.
      if (error.status === 403 && !error.message.includes('"system:anonymous"')) return error;
      return error.withRemedy(
        `the API server does not accept the credentials in ${access.credentials}; renew them`,
      );
    }
    // A server that refuses a client certificate may just close the connection.
    this.access.refuse();
    const message = error.message || error.code || 'no reason';
    const failure = new ApiError(`${request}: ${oneLine(withoutOpensslDetails(message))}`);
    const remedy = explainTlsError(message, access.origins);
    return remedy === undefined ? failure : failure.withRemedy(remedy);
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
  throw new ApiError(oneLine(messageOf(await textOf(response), inWords)), status, headers['retry-after']);
}

async function objectOf(response: IncomingMessage): Promise<unknown> {
  return parse(await textOf(response));
}

function parse(text: string): object {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('the answer is not JSON');
  }
  if (typeof value !== 'object' || value === null) throw new Error('the answer is not a JSON object');
  return value;
}

/** Returns the body. @throws Error for one that is too long, which closes the connection */
async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) {
    text += chunk;
    if (text.length > MAX_ANSWER) throw new Error(`the answer is longer than ${MAX_ANSWER >> 20} MiB`);
  }
  return text;
}

/**
 * Calls back with each line that is not empty. An error that the callback throws, or a line that is too long, closes the
 * connection.
 */
async function eachLine(response: IncomingMessage, onLine: (line: string) => void): Promise<void> {
  let rest = '';
  for await (const chunk of response.setEncoding('utf8')) {
    const [first = '', ...lines] = (chunk as string).split('\n');
    lines.unshift(rest + first);
    rest = lines.pop() ?? '';
    if (rest.length > MAX_EVENT) throw new Error(`an event is longer than ${MAX_EVENT >> 20} MiB`);
    for (const line of lines) if (line !== '') onLine(line);
  }
}
