/**
 * The Node objects of the cluster, listed in pages and then watched, as client-go's Reflector does. Each end of a watch
 * leads to another watch, or to a list that replaces all records.
 */

import { EventEmitter } from 'node:events';
import { isDeepStrictEqual } from 'node:util';
import { Backoff } from '../../support/backoff.js';
import { verbose } from '../../support/log.js';
import { Outage } from '../outage.js';
import type { ApiClient } from './api-client.js';
import { ApiError, explainApiError } from './api-error.js';
import { type NodeRecord, recordOf } from './node-record.js';
import { type KubernetesTiming, UNREACHABLE_MOST_MS } from './timing.js';

const NODES = '/api/v1/nodes';
/** HTTP status: the resource version is too old to watch from. */
const GONE = 410;
/** HTTP statuses below 500 after which the resource version is still valid. */
const KEEPS_VERSION = [401, 403, 429];

interface NodeList {
  metadata?: { resourceVersion?: string; continue?: string };
  items?: unknown[];
}

/** Emits `change` when a node has changed, and when the first list is complete. */
export class NodeReflector extends EventEmitter<{ change: [] }> {
  readonly nodes = new Map<string, NodeRecord>();
  /** Whether a list has been complete. */
  synced = false;
  /** How often a watch, or an attempt of one, ended and another one began. */
  restarts = 0;
  private readonly client: ApiClient;
  private readonly prefix: string;
  private readonly timing: KubernetesTiming;
  /** The outage before the first list is reported at once; later outages have a grace period. */
  private outage = new Outage();
  /** Resource version to watch from; undefined when a list must come first. */
  private version: string | undefined;
  private readonly backoff: Backoff;
  /** Aborts the running list, watch or pause. */
  private attempt = new AbortController();

  /** @param prefix of the annotations */
  constructor(client: ApiClient, prefix: string, timing: KubernetesTiming) {
    super();
    this.client = client;
    this.prefix = prefix;
    this.timing = timing;
    this.backoff = new Backoff(timing.backoff);
  }

  get notReady(): string | null {
    return this.outage.notReady;
  }

  /** Opens a new connection at once: one from an address that this node has lost stays silent. */
  reconnect(): void {
    this.backoff.reset();
    this.attempt.abort();
  }

  /** Lists and watches until the signal is aborted. */
  async run(closing: AbortSignal): Promise<void> {
    const { backoff } = this;
    let lastStatus: number | undefined;
    while (!closing.aborted) {
      this.attempt = new AbortController();
      const signal = AbortSignal.any([closing, this.attempt.signal]);
      let retryAfterMs = 0;
      // A node that starts before its network tries often: no server gets these attempts.
      let unreachable = false;
      try {
        if (this.version === undefined) await this.list(signal);
        const lastedMs = await this.watch(signal);
        if (lastedMs >= this.timing.steadyMs) backoff.reset();
      } catch (failure) {
        if (signal.aborted) continue;
        const error = ApiError.from(failure);
        retryAfterMs = error.retryAfterMs;
        unreachable = !this.synced && error.status === undefined;
        // A restarted server answers 410 once; only several in a row back off.
        if (error.status === GONE && lastStatus !== GONE) backoff.reset();
        lastStatus = error.status;
        this.handleFailure(error);
      }
      const waitMs = backoff.next(retryAfterMs);
      await this.client.pause(unreachable ? Math.min(waitMs, UNREACHABLE_MOST_MS) : waitMs, signal);
      this.restarts++;
    }
  }

  /** Stores the node that a patch returned, before the watch delivers it. */
  learn(node: unknown): void {
    if (this.store(node)) this.emit('change');
  }

  private async list(signal: AbortSignal): Promise<void> {
    const listed = new Map<string, NodeRecord>();
    const target = await this.client.target();
    let page: string | undefined;
    do {
      const query = new URLSearchParams({ limit: String(this.timing.pageSize) });
      if (page !== undefined) query.set('continue', page);
      const { metadata, items } = (await this.client
        .get(`${NODES}?${query}`, signal, target)
        .catch((error: unknown) => this.fail('list', ApiError.from(error)))) as NodeList;
      if (!Array.isArray(items) || metadata?.resourceVersion === undefined) {
        this.fail('list', new ApiError('the answer is not a list of nodes', 400));
      }
      for (const item of items) {
        const record = recordOf(item, this.prefix);
        if (record !== undefined) listed.set(record.name, record);
      }
      page = metadata.continue || undefined;
      this.version = metadata.resourceVersion;
    } while (page !== undefined);
    this.endOutage();
    this.replaceAll(listed);
  }

  /** Replaces all nodes. An unchanged node keeps its record, so that what was derived from the record stays valid. */
  private replaceAll(listed: ReadonlyMap<string, NodeRecord>): void {
    let changed = !this.synced;
    this.synced = true;
    for (const name of this.nodes.keys()) {
      if (!listed.has(name)) changed = this.nodes.delete(name) || changed;
    }
    for (const record of listed.values()) changed = this.storeRecord(record) || changed;
    if (changed) this.emit('change');
  }

  /** Watches until the server ends the watch; returns for how many milliseconds. */
  private async watch(signal: AbortSignal): Promise<number> {
    const { least, most } = this.timing.watchSeconds;
    const timeoutSeconds = least + Math.floor(Math.random() * (most - least + 1));
    const query = new URLSearchParams({
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: this.version ?? '',
      timeoutSeconds: String(timeoutSeconds),
    });
    let acceptedAt = performance.now();
    let events = 0;
    await this.client
      .watch(
        {
          path: `${NODES}?${query}`,
          silenceMs: timeoutSeconds * 1000 + this.timing.watchSlackMs,
          onAccepted: () => {
            acceptedAt = performance.now();
            this.endOutage();
          },
          onEvent: (type, object) => {
            events++;
            this.apply(type, object);
          },
        },
        signal,
      )
      .catch((error: unknown) => this.fail('watch', ApiError.from(error)));
    const lastedMs = performance.now() - acceptedAt;
    // A server restored from a backup accepts a version it never had, and sends neither error nor event. For a version
    // that exists it sends a bookmark every minute.
    if (events === 0 && lastedMs >= this.timing.emptyWatchMs) this.version = undefined;
    return lastedMs;
  }

  /** @throws ApiError for an ERROR event */
  private apply(type: string, object: unknown): void {
    if (type === 'ERROR') throw statusError(object);
    const { metadata } = (object ?? {}) as { metadata?: { name?: string; resourceVersion?: string } };
    if (type === 'DELETED') {
      if (this.nodes.delete(metadata?.name ?? '')) this.emit('change');
    } else if ((type === 'ADDED' || type === 'MODIFIED') && this.store(object)) this.emit('change');
    if (metadata?.resourceVersion) this.version = metadata.resourceVersion;
  }

  /** Returns whether anything changed. */
  private store(node: unknown): boolean {
    const record = recordOf(node, this.prefix);
    return record !== undefined && this.storeRecord(record);
  }

  private storeRecord(record: NodeRecord): boolean {
    if (isDeepStrictEqual(this.nodes.get(record.name), record)) return false;
    this.nodes.set(record.name, record);
    return true;
  }

  /** Throws the error of a request in client-go's words; forgets the version where a list must come first. */
  private fail(verb: 'list' | 'watch', error: ApiError): never {
    const { status } = error;
    if (verb === 'list' || (status !== undefined && status < 500 && !KEEPS_VERSION.includes(status))) {
      this.version = undefined;
    }
    throw error.explained(`failed to ${verb} *v1.Node: ${explainApiError(error, verb, 'nodes')}`);
  }

  private endOutage(): void {
    this.outage.end('the Kubernetes API server answers again');
    const { graceMs } = this.timing;
    this.outage = new Outage({ graceMs, quietMs: graceMs });
  }

  private handleFailure({ status, message, remedy }: ApiError): void {
    // The server answers; the list that follows a 410 shows whether it works.
    if (status === GONE) {
      verbose(1, message);
      return;
    }
    const what = this.synced
      ? 'lost the Kubernetes API server, the last known peers stay in force'
      : 'waiting for the Kubernetes API server';
    // A change from "unreachable" to "refused" is logged at once.
    this.outage.report(`${what}: ${message}`, remedy === undefined ? 'unreachable' : 'refused');
  }
}

/** Returns the error in the Status object of an ERROR event. */
function statusError(object: unknown): ApiError {
  const { code, message } = (object ?? {}) as { code?: number; message?: string };
  return new ApiError(message ?? 'an error without a message', code);
}
