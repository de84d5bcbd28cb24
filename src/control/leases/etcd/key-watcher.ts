/** Follows the keys of all nodes from a snapshot on, across lost connections, compactions and an etcd that was set up anew. */

import { setTimeout as delay } from 'node:timers/promises';
import { Backoff } from '../../support/backoff.js';
import { warn } from '../../support/log.js';
import type { Outage } from '../outage.js';
import type { EtcdClient } from './etcd-client.js';
import { EtcdError } from './etcd-error.js';
import { status } from './library.js';
import { DELETE, type Header, type KeyValue, type WatchResponse } from './protocol.js';
import type { Registry, Snapshot } from './registry.js';
import type { EtcdTiming } from './timing.js';

export interface FollowerEvents {
  onSnapshot(snapshot: Snapshot): void;
  onPut(kv: KeyValue): void;
  onDelete(kv: KeyValue): void;
}

/** The events after the last one seen are not to be had: all keys have to be read again. */
class Gap extends Error {}

export class Follower {
  private readonly client: EtcdClient;
  private readonly registry: Registry;
  private readonly outage: Outage;
  private readonly backoff: EtcdTiming['backoff'];
  private readonly events: FollowerEvents;
  private readonly stopping = new AbortController();
  /** What was last heard; undefined when all keys have to be read again. */
  private heard: Header | undefined;

  constructor(
    client: EtcdClient,
    registry: Registry,
    outage: Outage,
    backoff: EtcdTiming['backoff'],
    events: FollowerEvents,
  ) {
    this.client = client;
    this.registry = registry;
    this.outage = outage;
    this.backoff = backoff;
    this.events = events;
  }

  /** Follows what comes after `snapshot` until it is stopped. */
  async run(snapshot: Snapshot): Promise<void> {
    const backoff = new Backoff(this.backoff);
    const { signal } = this.stopping;
    this.heard = snapshot.header;
    while (!signal.aborted) {
      const begun = performance.now();
      const reason = await this.follow();
      if (signal.aborted) return;
      this.report(reason);
      // A watch that lasted starts over with short waits; one that is refused again and again does not.
      if (performance.now() - begun > this.backoff.mostMs) backoff.reset();
      await delay(backoff.next(), undefined, { signal, ref: false }).catch(() => {});
    }
  }

  /** Whoever closes the client too ends the watch that is open. */
  stop(): void {
    this.stopping.abort();
  }

  /** One watch, until it ends; returns why it did. */
  private async follow(): Promise<Error> {
    try {
      if (this.heard === undefined) {
        const snapshot = await this.registry.readSubnets();
        this.heard = snapshot.header;
        this.events.onSnapshot(snapshot);
      }
      const startRevision = this.heard.revision.toNumber() + 1;
      const request = { create: { ...this.registry.range, startRevision } };
      await this.client.watch(request, (response) => this.take(response));
      return new EtcdError('the stream ended', status.UNAVAILABLE);
    } catch (error) {
      if (error instanceof Gap) this.heard = undefined;
      return error as Error;
    }
  }

  private take(response: WatchResponse): void {
    if (this.stopping.signal.aborted) return;
    const { header, created, canceled, compactRevision, cancelReason, events } = response;
    if (canceled) this.refused(compactRevision.toNumber(), cancelReason);
    if (created) {
      this.refuseOther(header);
      this.outage.end(`etcd watch channel for ${this.registry.subnets} is open again`);
      // Its revision is the store's: events before it are still to come.
      return;
    }
    for (const { type, kv } of events) {
      if (type === DELETE) this.events.onDelete(kv);
      else this.events.onPut(kv);
    }
    this.heard = header;
  }

  private refused(compactRevision: number, reason: string): never {
    if (compactRevision > 0) {
      throw new Gap(
        `etcd watch for ${this.registry.subnets} fell behind compaction horizon (compact rev ${compactRevision}), re-listing and resuming`,
      );
    }
    // A token that has expired is "permission denied" to etcd 3.4's watch: a new one shows which it is.
    this.client.forgetToken();
    throw new EtcdError(`etcd has ended the watch: ${reason}`, status.PERMISSION_DENIED);
  }

  /** An etcd that has lost its data, or got a backup's, would send nothing until it comes to the revision asked for. */
  private refuseOther({ clusterId, revision, raftTerm }: Header): void {
    const { heard } = this;
    if (heard === undefined) return;
    if (
      clusterId.equals(heard.clusterId) &&
      !revision.lessThan(heard.revision) &&
      !raftTerm.lessThan(heard.raftTerm)
    ) {
      return;
    }
    throw new Gap(
      `etcd has other data than before (revision ${revision} of cluster ${clusterId.toString(16)}, it was ${heard.revision} of ${heard.clusterId.toString(16)}), re-listing ${this.registry.subnets} and resuming`,
    );
  }

  private report(reason: Error): void {
    if (reason instanceof Gap) {
      warn(reason.message);
      return;
    }
    const from = this.heard === undefined ? 0 : this.heard.revision.toNumber() + 1;
    const code = reason instanceof EtcdError ? reason.code : reason.name;
    this.outage.report(
      `etcd watch channel for ${this.registry.subnets} closed (${reason.message}), reconnecting from rev ${from}...`,
      code,
    );
  }
}
