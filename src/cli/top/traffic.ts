/** The traffic that follows from successive answers of the running Weft: totals, peers and drops. */

import type { PeerStatus } from '../../control/backends/backend.js';
import type { FamilyStatus, StartingStatus, Status } from '../../control/node/status.js';
import { type Counts, Meter, Rate, Trail } from './meter.js';
import { rank } from './ranking.js';

/** A peer of the answer. An older Weft counts no bytes, and does not know when it heard the peer. */
export type Peer = PeerStatus & Counts & { state?: string; heardAgeSeconds?: number | null };

/** A peer and its rates. */
export class PeerTraffic extends Meter {
  /** Public IP and subnet. */
  readonly key: string;
  peer: Peer;

  constructor(key: string, peer: Peer) {
    super();
    this.key = key;
    this.peer = peer;
  }
}

/** One drop counter that is not zero. */
export class Drop {
  readonly name: string;
  readonly rate = new Rate();
  readonly trail = new Trail();
  total = 0;
  /** Time of the last reading that was higher, in milliseconds; undefined if it was before the first reading. */
  roseAt: number | undefined;

  constructor(name: string) {
    this.name = name;
  }
}

export class Traffic {
  /** The last answer. */
  status: Status | StartingStatus | undefined;
  /** Time of the last answer, in milliseconds. */
  readAt: number | undefined;
  readonly total = new Meter();
  readonly txDrops = new Rate();
  readonly rxDrops = new Rate();
  readonly dropTrail = new Trail();
  /** The most traffic first. */
  peers: PeerTraffic[] = [];
  /** Drop counters by name, those of IPv6 as `ipv6 rx_drop_…`. */
  private readonly counted = new Map<string, Drop>();
  private ranked = false;

  /** Takes an answer that arrived at `now` milliseconds. @throws TypeError for one of another form */
  read(status: Status | StartingStatus, now: number): void {
    const families = familiesOf(status);
    // During the set-up there is no counter yet.
    if (families.length === 0) this.miss();
    else {
      const seconds = this.readAt === undefined ? 0 : (now - this.readAt) / 1000;
      this.readPeers(families, seconds);
      this.readTotals(families, seconds);
      this.readDrops(families, seconds, now);
      this.readAt = now;
    }
    this.status = status;
  }

  /** Notes that Weft did not answer. */
  miss(): void {
    for (const meter of [this.total, ...this.peers]) meter.miss();
    for (const rate of [this.txDrops, this.rxDrops]) rate.miss();
    this.dropTrail.push(undefined);
    for (const { rate, trail } of this.counted.values()) {
      rate.miss();
      trail.push(undefined);
    }
  }

  /** The drop counters that are not zero: those that rose last come first. */
  get drops(): Drop[] {
    return [...this.counted.values()]
      .filter(({ total }) => total > 0)
      .sort((a, b) => (b.roseAt ?? 0) - (a.roseAt ?? 0) || (a.name < b.name ? -1 : 1));
  }

  private readPeers(families: readonly FamilyStatus[], seconds: number): void {
    const present = new Map<string, Peer>();
    for (const { peers } of families) {
      for (const peer of peers) present.set(`${peer.publicIP} ${peer.subnet}`, peer);
    }
    const kept = this.peers.filter((traffic) => {
      const peer = present.get(traffic.key);
      present.delete(traffic.key);
      if (peer !== undefined) traffic.peer = peer;
      return peer !== undefined;
    });
    this.peers = [...kept, ...[...present].map(([key, peer]) => new PeerTraffic(key, peer))];
    for (const traffic of this.peers) traffic.read(traffic.peer, seconds);
    // The first rates give the exact order; later ones move only what has changed.
    if (!this.ranked && seconds > 0) this.peers.sort((a, b) => b.weight - a.weight);
    this.ranked ||= seconds > 0;
    rank(this.peers);
  }

  private readTotals(families: readonly FamilyStatus[], seconds: number): void {
    const all = (name: string) => families.reduce((sum, { counters }) => sum + (counters[name] ?? 0), 0);
    const counts = { txPackets: all('tx_packets'), txBytes: all('tx_bytes') };
    this.total.read({ ...counts, rxPackets: all('rx_packets'), rxBytes: all('rx_bytes') }, seconds);
    const drops = (direction: string) =>
      families
        .flatMap(({ counters }) => Object.entries(counters))
        .reduce((sum, [name, value]) => (name.startsWith(`${direction}_drop_`) ? sum + value : sum), 0);
    this.txDrops.read(drops('tx'), seconds);
    this.rxDrops.read(drops('rx'), seconds);
    const { value } = this.txDrops;
    this.dropTrail.push(value === undefined ? undefined : value + (this.rxDrops.value ?? 0));
  }

  private readDrops(families: readonly FamilyStatus[], seconds: number, now: number): void {
    for (const [index, { counters }] of families.entries()) {
      for (const [name, value] of Object.entries(counters)) {
        if (name.includes('_drop_')) this.readDrop(index === 0 ? name : `ipv6 ${name}`, value, seconds, now);
      }
    }
  }

  private readDrop(name: string, value: number, seconds: number, now: number): void {
    const drop = this.counted.get(name) ?? new Drop(name);
    this.counted.set(name, drop);
    drop.rate.read(value, seconds);
    drop.trail.push(drop.rate.value);
    drop.total = value;
    if (drop.rate.rise > 0) drop.roseAt = now;
  }
}

/** Returns the status of each family; empty during the set-up. */
export function familiesOf(status: Status | StartingStatus): FamilyStatus[] {
  if (!('backend' in status)) return [];
  return status.ipv6 === undefined ? [status] : [status, status.ipv6];
}
