/** Leases from a JSON file, which is polled for changes. */

import { unwatchFile, watchFile } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { familiesIn, mapFamilies, valueIn } from '../../addresses/family.js';
import { readNetConf } from '../../config/net-conf.js';
import type { FileOptions } from '../../options.js';
import { info } from '../../support/log.js';
import { OnceEach } from '../../support/once.js';
import { Pace } from '../../support/pace.js';
import { Retry } from '../../support/retry.js';
import { Serial } from '../../support/serial.js';
import type { LeaseSets } from '../lease.js';
import type { Cluster, LeaseListener, LeaseRequest, LeaseSource } from '../source.js';
import { findOwnLease } from './find-own-lease.js';
import { readLeaseFile } from './lease-file.js';

const POLL_EVERY_MS = 200;
/** A file that does not parse may be half written. Weft reads it again after this time before it rejects it. */
const SETTLE_MS = 100;
/** Pauses before a file that could not be read is read again, although it has not changed: descriptors may be short. */
const RETRY_PAUSES = { firstMs: 1000, mostMs: 30_000, jitter: false };

/** How the file is watched; tests replace it. */
export interface FileWatch {
  /** Calls `onChange` after every change of the file, until the returned function is called. */
  start(path: string, onChange: () => void): () => void;
  /** Waits for the writer of a half-written file. */
  settle(): Promise<void>;
}

/**
 * Polls with stat, not inotify. For a few system calls a second, stat detects an edit in place, a rename over the file
 * and a ConfigMap's swapped symlink. It also works on a network file system, and for a file that is removed and created
 * again.
 */
export const POLLING: FileWatch = {
  start: (path, onChange) => {
    watchFile(path, { interval: POLL_EVERY_MS, persistent: false }, onChange);
    return () => unwatchFile(path, onChange);
  },
  settle: () => delay(SETTLE_MS),
};

interface Loaded {
  sets: LeaseSets;
  /** flannel's log line for each lease of another backend type. */
  ignored: readonly string[];
}

export class FileLeaseSource implements LeaseSource {
  readonly name: string;
  /** A file can always be read; an error in it rejects the leases. */
  readonly notReady = null;
  /** A poll does not end. */
  readonly watchRestarts = 0;
  readonly files: readonly string[];
  private readonly options: FileOptions;
  private readonly fileWatch: FileWatch;
  private readonly ignored = new OnceEach();
  private readonly reloads = new Serial();
  /** Whether a reload waits for the one in progress: it reads every change until then. */
  private reloadQueued = false;
  private readonly pace = new Pace();
  private readonly retry = new Retry(RETRY_PAUSES, () => this.deliverSoon());
  /** The last refusal since the file changed. */
  private refusal: string | undefined;
  /** The request whose lease is in force. */
  private request: LeaseRequest | undefined;
  /** The request of a move to addresses without a lease in the file. */
  private pending: LeaseRequest | undefined;
  private listener: Omit<LeaseListener, 'onRevoked'> | undefined;
  private stopWatching: (() => void) | undefined;

  constructor(options: FileOptions, fileWatch: FileWatch = POLLING) {
    this.name = options.leaseFile;
    this.files = [options.leaseFile];
    this.options = options;
    this.fileWatch = fileWatch;
  }

  async open(): Promise<Cluster> {
    return { netConf: await readNetConf(this.options.netConfigPath), publicIps: {} };
  }

  async preview(request: LeaseRequest): Promise<LeaseSets> {
    return (await this.load(request)).sets;
  }

  /** Reads the leases. The file lists this node like any other, so nothing is published. */
  async acquire(request: LeaseRequest): Promise<LeaseSets> {
    const { sets } = await this.load(request);
    this.settleOn(request, sets);
    return sets;
  }

  watch(listener: Omit<LeaseListener, 'onRevoked'>): void {
    if (this.request === undefined) throw new Error('a lease file is watched once its lease was acquired');
    this.listener = listener;
    this.stopWatching = this.fileWatch.start(this.name, () => {
      this.refusal = undefined;
      this.deliverSoon();
    });
    // The poll does not detect an edit between `acquire` and its own start.
    this.deliverSoon();
  }

  /** The lease with the new addresses is this node's from now on. If the file has none, an edit may add it. */
  async move(request: LeaseRequest): Promise<void> {
    this.pending = request;
    const { sets } = await this.load(request);
    this.settleOn(request, sets);
    // The mover waits for no delivery: the listener may itself wait for the mover.
    this.deliverSoon();
  }

  markReady(): void {}

  async close(): Promise<void> {
    this.stopWatching?.();
    this.stopWatching = undefined;
    this.retry.cancel();
  }

  /**
   * Makes the leases found for a request this node's, unless this node has moved meanwhile. Its addresses are fixed, because
   * the sockets are bound to them.
   */
  private settleOn(request: LeaseRequest, sets: LeaseSets): void {
    if (this.pending !== undefined && this.pending !== request) return;
    const families = mapFamilies(request.families, (wanted, family) => ({
      ...wanted,
      addresses: [valueIn(sets, family).own.publicIp],
    }));
    this.request = { ...request, families };
    this.pending = undefined;
  }

  /** Delivers the content of the file, after the listener has applied the set before. */
  private deliverSoon(): void {
    const { listener } = this;
    if (listener === undefined || this.reloadQueued) return;
    this.reloadQueued = true;
    const deliver = async (): Promise<void> => {
      const { sets, ignored } = await this.reload();
      this.retry.reset();
      this.ignored.log(ignored, info);
      await listener.onLeases(sets);
    };
    const paced = async (): Promise<void> => {
      await this.pace.wait();
      this.reloadQueued = false;
      await this.pace.run(deliver);
    };
    this.reloads.run(paced).catch((error: Error) => {
      if (this.stopWatching !== undefined) this.retry.schedule();
      if (error.message !== this.refusal) listener.onRefused(error);
      this.refusal = error.message;
    });
  }

  private async load(request: LeaseRequest): Promise<Loaded> {
    const { backend, networks } = request.netConf;
    const vni = backend.type === 'vxlan' ? backend.vni : undefined;
    const { ignored, leases } = await readLeaseFile(this.name, vni, familiesIn(networks));
    const sets = mapFamilies(request.families, ({ addresses }, family) => {
      const all = valueIn(leases, family);
      const { network } = valueIn(networks, family);
      const own = findOwnLease(all, { interface: request.interface, addresses }, network, this.name);
      return { own, peers: all.filter(({ publicIp }) => publicIp !== own.publicIp) };
    });
    return { sets, ignored };
  }

  private async reload(): Promise<Loaded> {
    try {
      return await this.loadOwn();
    } catch {
      await this.fileWatch.settle();
      return await this.loadOwn();
    }
  }

  /** Loads the leases for the pending move, or else for the request in force. */
  private async loadOwn(): Promise<Loaded> {
    const { pending, request } = this;
    const moved = pending && (await this.load(pending).catch(() => undefined));
    if (pending !== undefined && moved !== undefined) {
      this.settleOn(pending, moved.sets);
      return moved;
    }
    return await this.load(request as LeaseRequest);
  }
}
