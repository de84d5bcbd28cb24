/**
 * The nodes of the cluster: listed in pages, then watched. What client-go calls a reflector: every way in which a watch
 * can end leads back to a watch, or to a list whose difference to what is known is taken over.
 */

import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Backoff } from '../../support/backoff.js';
import { verbose } from '../../support/log.js';
import { Outage } from '../outage.js';
import { ApiError, explainApiError } from './api-error.js';
import type { ApiClient } from './client.js';
import { type NodeRecord, recordOf, sameRecord } from './node-record.js';
import { withSmallHeap } from './small-heap.js';
import type { Timing } from './timing.js';

const NODES = '/api/v1/nodes';
/** The version is too old: it takes a list. */
const GONE = 410;

interface NodeList {
  metadata?: { resourceVersion?: string; continue?: string };
  items?: unknown[];
}

/** Emits `change` when a node, or whether they are known at all, has changed. */
export class NodeReflector extends EventEmitter<{ change: [] }> {
  readonly nodes = new Map<string, NodeRecord>();
  /** The whole list was taken over once. */
  synced = false;
  private readonly client: ApiClient;
  private readonly prefix: string;
  private readonly timing: Timing;
  /** A node that starts waits, and says so at once; one that runs goes on, and does not speak of moments. */
  private readonly starting = new Outage({ graceMs: 0, quietMs: 0 });
  private readonly watching: Outage;
  /** Where the next watch begins; undefined: at a new list. */
  private version: string | undefined;

  /** `prefix`: of the annotations. */
  constructor(client: ApiClient, prefix: string, timing: Timing) {
    super();
    this.client = client;
    this.prefix = prefix;
    this.timing = timing;
    this.watching = new Outage({ graceMs: timing.graceMs, quietMs: timing.graceMs });
  }

  get notReady(): string | null {
    return this.starting.notReady ?? this.watching.notReady;
  }

  /** Lists and watches until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.timing.backoff);
    let last: number | undefined;
    while (!signal.aborted) {
      let retryAfterMs = 0;
      try {
        if (this.version === undefined) await withSmallHeap(() => this.list(signal));
        const lastedMs = await this.watch(signal);
        if (lastedMs >= this.timing.steadyMs) backoff.reset();
      } catch (error) {
        if (signal.aborted) return;
        const failure = error instanceof ApiError ? error : undefined;
        retryAfterMs = failure?.retryAfterMs ?? 0;
        // A server that is back answers so, and has been waited for long enough; one that does so each time has not.
        if (failure?.status === GONE && last !== GONE) backoff.reset();
        last = failure?.status;
        await this.failed(error as Error);
      }
      await delay(backoff.next(retryAfterMs), undefined, { signal }).catch(() => undefined);
    }
  }

  /** Takes over a node that an answer to a patch told of: the watch tells it later. */
  learn(node: unknown): void {
    if (this.put(node)) this.emit('change');
  }

  private async list(signal: AbortSignal): Promise<void> {
    const listed = new Map<string, NodeRecord>();
    let page: string | undefined;
    let version: string | undefined;
    const credentials = await this.client.credentials();
    do {
      const query = new URLSearchParams({ limit: String(this.timing.pageSize) });
      if (page !== undefined) query.set('continue', page);
      const { metadata, items } = (await this.client
        .get(`${NODES}?${query}`, signal, credentials)
        .catch((error: Error) => {
          throw this.failure('list', error);
        })) as NodeList;
      if (!Array.isArray(items) || metadata?.resourceVersion === undefined) {
        throw this.failure('list', new ApiError('the answer is no list of nodes', 400));
      }
      for (const item of items) {
        const record = recordOf(item, this.prefix);
        if (record !== undefined) listed.set(record.name, record);
      }
      page = metadata.continue || undefined;
      version = metadata.resourceVersion;
    } while (page !== undefined);
    this.version = version;
    this.reached();
    this.takeOver(listed);
  }

  /** Keeps the records that have not changed: whoever has derived something from one need not do so again. */
  private takeOver(listed: ReadonlyMap<string, NodeRecord>): void {
    let changed = !this.synced;
    this.synced = true;
    for (const name of this.nodes.keys()) {
      if (!listed.has(name)) changed = this.nodes.delete(name) || changed;
    }
    for (const record of listed.values()) changed = this.set(record) || changed;
    if (changed) this.emit('change');
  }

  /** One watch; returns how long it lasted, in ms. */
  private async watch(signal: AbortSignal): Promise<number> {
    const { least, most } = this.timing.watchSeconds;
    const timeoutSeconds = least + Math.floor(Math.random() * (most - least + 1));
    let acceptedAt = performance.now();
    let events = 0;
    let failure: ApiError | undefined;
    const ended = new AbortController();
    try {
      await this.client.watch(
        {
          path: NODES,
          query: { allowWatchBookmarks: true, resourceVersion: this.version as string, timeoutSeconds },
          deadlineMs: timeoutSeconds * 1000 + this.timing.watchSlackMs,
          onAccepted: () => {
            acceptedAt = performance.now();
            this.reached();
          },
          onEvent: (type, object) => {
            events++;
            if (type === 'ERROR') {
              failure ??= statusError(object);
              ended.abort(failure);
            } else if (failure === undefined) this.apply(type, object);
          },
        },
        AbortSignal.any([signal, ended.signal]),
      );
    } catch (error) {
      throw this.failure('watch', error as Error);
    }
    const lastedMs = performance.now() - acceptedAt;
    // A version that the server never had (it was restored from a backup) is watched without an error, and without an
    // event. One that it has brings bookmarks, one a minute.
    if (events === 0 && lastedMs >= this.timing.emptyWatchMs) this.version = undefined;
    return lastedMs;
  }

  private apply(type: string, object: unknown): void {
    const { metadata } = (object ?? {}) as { metadata?: { name?: string; resourceVersion?: string } };
    if (type === 'DELETED') {
      if (this.nodes.delete(metadata?.name ?? '')) this.emit('change');
    } else if ((type === 'ADDED' || type === 'MODIFIED') && this.put(object)) this.emit('change');
    if (metadata?.resourceVersion) this.version = metadata.resourceVersion;
  }

  private put(node: unknown): boolean {
    const record = recordOf(node, this.prefix);
    return record !== undefined && this.set(record);
  }

  private set(record: NodeRecord): boolean {
    const known = this.nodes.get(record.name);
    if (known !== undefined && sameRecord(known, record)) return false;
    this.nodes.set(record.name, record);
    return true;
  }

  /** The error of a request, in client-go's words. */
  private failure(verb: 'list' | 'watch', error: Error): ApiError {
    const { status, retryAfterMs } = error instanceof ApiError ? error : new ApiError(error.message);
    const explained = explainApiError(error, verb, 'nodes');
    // What the version is too old for, or what is no longer understood, begins at a list; the rest goes on where it was.
    const anew = status !== undefined && status < 500 && ![401, 403, 429].includes(status);
    if (anew) this.version = undefined;
    return Object.assign(new ApiError(`failed to ${verb} *v1.Node: ${explained}`, status), { retryAfterMs });
  }

  private reached(): void {
    for (const outage of [this.starting, this.watching])
      outage.end('the Kubernetes API server answers again');
  }

  private async failed(error: Error): Promise<void> {
    const status = error instanceof ApiError ? error.status : undefined;
    // The server is there, and the list that follows says whether it answers.
    if (status === GONE) {
      verbose(1, error.message);
      return;
    }
    if (this.synced) {
      this.watching.report(
        `lost the Kubernetes API server, the last known peers stay in force: ${error.message}`,
      );
    } else this.starting.report(`waiting for the Kubernetes API server: ${error.message}`);
    if (status === 401) await this.client.reload();
  }
}

/** The Status object of an ERROR event. */
function statusError(object: unknown): ApiError {
  const { code, message } = (object ?? {}) as { code?: number; message?: string };
  return new ApiError(message ?? 'an error without a message', code);
}
