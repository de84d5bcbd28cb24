/** Watches the keys of all nodes, across lost connections, compactions and a restored or replaced etcd. */

import { setTimeout as delay } from 'node:timers/promises';
import { Backoff, type BackoffOptions } from '../../support/backoff.js';
import { warn } from '../../support/log.js';
import type { Outage } from '../outage.js';
import { EtcdError } from './etcd-error.js';
import { status } from './library.js';
import { DELETE, type Header, type KeyValue, type WatchResponse } from './protocol.js';
import type { Registry, Snapshot } from './registry.js';

interface KeyEvents {
  onSnapshot(snapshot: Snapshot): void;
  onPut(kv: KeyValue): void;
  onDelete(kv: KeyValue): void;
}

/** The error for lost events: all keys must be listed again. */
class Gap extends Error {}

export class KeyWatcher {
  private readonly registry: Registry;
  private readonly outage: Outage;
  private readonly backoff: BackoffOptions;
  private readonly events: KeyEvents;
  private readonly stopping = new AbortController();
  /** Header of the last response; undefined when all keys must be listed again. */
  private last: Header | undefined;
  /** How often the watch ended and another one began. */
  restarts = 0;

  constructor(registry: Registry, outage: Outage, backoff: BackoffOptions, events: KeyEvents) {
    this.registry = registry;
    this.outage = outage;
    this.backoff = backoff;
    this.events = events;
  }

  /** Watches from the snapshot on until it is stopped. */
  async run(snapshot: Snapshot): Promise<void> {
    const backoff = new Backoff(this.backoff);
    const { signal } = this.stopping;
    this.last = snapshot.header;
    while (!signal.aborted) {
      const begun = performance.now();
      const reason = await this.watchOnce();
      if (signal.aborted) return;
      this.report(reason);
      // Only a watch that lasted resets the back-off, not one that etcd cancels at once.
      if (performance.now() - begun > this.backoff.mostMs) backoff.reset();
      await delay(backoff.next(), undefined, { signal, ref: false }).catch(() => {});
      this.restarts++;
    }
  }

  /** Prevents further watches; closing the client ends the current one. */
  stop(): void {
    this.stopping.abort();
  }

  /** Watches until the stream ends; returns why it ended. */
  private async watchOnce(): Promise<Error> {
    try {
      if (this.last === undefined) {
        const snapshot = await this.registry.readSubnets();
        this.last = snapshot.header;
        this.events.onSnapshot(snapshot);
      }
      const startRevision = this.last.revision.toNumber() + 1;
      const request = { create: { ...this.registry.range, startRevision } };
      await this.registry.client.watch(request, (response) => this.handle(response));
      return new EtcdError('the stream ended', status.UNAVAILABLE);
    } catch (error) {
      if (error instanceof Gap) this.last = undefined;
      return error as Error;
    }
  }

  /** @throws Gap, EtcdError to end the watch */
  private handle(response: WatchResponse): void {
    if (this.stopping.signal.aborted) return;
    const { header, created, canceled, compactRevision, cancelReason, events } = response;
    if (canceled) this.throwCanceled(compactRevision.toNumber(), cancelReason);
    if (created) {
      this.checkContinuity(header);
      this.outage.end(`etcd watch channel for ${this.registry.subnets} is open again`);
      // This header has the store's current revision; events before it are still to come.
      return;
    }
    for (const { type, kv } of events) {
      if (type === DELETE) this.events.onDelete(kv);
      else this.events.onPut(kv);
    }
    this.last = header;
  }

  private throwCanceled(compactRevision: number, reason: string): never {
    if (compactRevision > 0) {
      throw new Gap(
        `etcd watch for ${this.registry.subnets} fell behind compaction horizon (compact rev ${compactRevision}), re-listing and resuming`,
      );
    }
    // etcd 3.4 also answers "permission denied" for an expired token; the next call gets a new one.
    this.registry.client.forgetToken();
    throw new EtcdError(`etcd canceled the watch: ${reason}`, status.PERMISSION_DENIED);
  }

  /**
   * Checks that etcd still has the data of the last response. After a loss of data or a restore, it would send nothing until
   * it reaches the requested revision. @throws Gap
   */
  private checkContinuity({ clusterId, revision, raftTerm }: Header): void {
    const { last } = this;
    if (last === undefined) return;
    if (
      clusterId.equals(last.clusterId) &&
      !revision.lessThan(last.revision) &&
      !raftTerm.lessThan(last.raftTerm)
    ) {
      return;
    }
    throw new Gap(
      `etcd has other data than before (revision ${revision} of cluster ${clusterId.toString(16)}, before: ${last.revision} of ${last.clusterId.toString(16)}), re-listing ${this.registry.subnets} and resuming`,
    );
  }

  private report(reason: Error): void {
    if (reason instanceof Gap) {
      warn(reason.message);
      return;
    }
    const from = this.last === undefined ? 0 : this.last.revision.toNumber() + 1;
    const kind = reason instanceof EtcdError ? reason.kind : reason.name;
    this.outage.report(
      `etcd watch channel for ${this.registry.subnets} closed (${reason.message}), reconnecting from rev ${from}...`,
      kind,
    );
  }
}
