/**
 * Leases from a JSON file that is watched.
 *
 * The file is looked at with stat, not inotify: that sees an edit in place, a rename over it, a ConfigMap's swapped
 * symlink, a file system of another machine and a file that comes back after it was gone, all alike, for a handful of
 * system calls a second.
 */

import { unwatchFile, watchFile } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { info } from '../log.js';
import type { Lease, LeaseSource } from './lease.js';
import { readLeaseFile } from './lease-file.js';

const LOOK_EVERY_MS = 200;
/** A file that does not parse may be half written: it gets this long before it is refused. */
const SETTLE_MS = 100;

export class FileLeaseSource implements LeaseSource {
  readonly name: string;
  private readonly path: string;
  private readonly vni: number | undefined;
  /** What was said of leases that are not Weft's, and what is still to be said. */
  private readonly ignored = new Set<string>();
  private readonly unsaid: string[] = [];
  private reading: Promise<void> = Promise.resolve();

  /** `vni` is that of a vxlan cluster, undefined for backend udp. */
  constructor(path: string, vni: number | undefined) {
    this.name = path;
    this.path = path;
    this.vni = vni;
  }

  async load(): Promise<Lease[]> {
    const { leases, ignored } = await readLeaseFile(this.path, this.vni);
    // Said by `watch`, once the leases are in force: a start that is refused says one thing only.
    this.unsaid.push(...ignored.filter((sentence) => !this.ignored.has(sentence)));
    this.ignored.clear();
    for (const sentence of ignored) this.ignored.add(sentence);
    return leases;
  }

  watch(onLeases: (leases: Lease[]) => Promise<void>, onRefused: (error: Error) => void): void {
    const look = (): void => {
      this.reading = this.reading
        .then(() => this.reload())
        .then((leases) => {
          for (const sentence of this.unsaid.splice(0)) info(sentence);
          return onLeases(leases);
        })
        .catch(onRefused);
    };
    watchFile(this.path, { interval: LOOK_EVERY_MS, persistent: false }, look);
    // Once now: an edit after `load` and before the first look would not be seen as a change.
    look();
  }

  close(): void {
    unwatchFile(this.path);
  }

  private async reload(): Promise<Lease[]> {
    try {
      return await this.load();
    } catch {
      await delay(SETTLE_MS);
      return await this.load();
    }
  }
}
