/**
 * The fast path: BPF programs in front of the forwarding threads. They forward the packets of known peers about which there
 * is nothing to decide; the threads get all others. Nothing depends on it: without it every packet takes the threads.
 *
 *     pod ──► overlay device ── `out` ──► underlay interface
 *                 ▲  ▲
 *                 │  └── `join` ◄─ joiner (GRO) ◄─┐ TCP
 *                 └───────────────────────────────┴ `in` ◄── underlay interface
 *
 * Each start and each change of the configuration makes new tables and programs, which replace the old ones in one step per
 * hook. So a fast path that an earlier process left works until its successor has the present peers.
 */

import { hooksOf } from '../../sys/traffic-control.js';
import type { FdbChanges } from '../options.js';
import { addCounts, NO_COUNTS, type PeerCounts } from '../tunnel/peer-counts.js';
import { type AttachOptions, Hook, type HookOptions, type HookPlace, removeFilters } from './hook.js';
import { Pins } from './pins.js';
import { closePrograms, loadPrograms, type ProgramConfig, type Programs } from './programs.js';
import { type FastPeer, Tables } from './tables.js';

/** The tables have room for so many peers at least, and for twice as many as there are when they are made. */
const MIN_CAPACITY = 512;
/** Entries are compared once a second for so many peers, and less often for more: comparing takes processor time. */
const PEERS_PER_SECOND = 1000;

/** What a fast path is made for. Interfaces are their indices. */
export interface FastPathConfig extends ProgramConfig {
  underlay: number;
  /** The two ends of the joiner: frames are sent to the first, and received and joined at the second. */
  joiner: { sender: number; receiver: number };
}

export interface FastPathOptions extends AttachOptions {
  /** Name of the overlay device. */
  overlay: string;
  /** Called when programs were attached, and before they are detached. */
  onSwitch?: (isOn: boolean) => void;
}

interface Known {
  peer: FastPeer;
  number: number;
}

export class FastPath {
  private readonly options: HookOptions;
  private readonly onSwitch: (isOn: boolean) => void;
  private readonly peers = new Map<string, Known>();
  private config: FastPathConfig | undefined;
  private tables: Tables | undefined;
  private programs: Programs | undefined;
  private hooks: Hook[] = [];
  private readonly freeNumbers: number[] = [];
  private nextNumber = 0;
  /** When the entries are compared again, by performance.now. */
  private nextCorrection = 0;
  /** Counts of present peers in earlier tables, by address. */
  private readonly past = new Map<number, PeerCounts>();
  /** The sum of the counts of peers that are gone. */
  private gone: PeerCounts = NO_COUNTS;

  constructor({ overlay, onSwitch = () => {}, attachment, fileSystem }: FastPathOptions) {
    this.options = { pins: Pins.of(overlay, fileSystem), attachment };
    this.onSwitch = onSwitch;
  }

  /** Whether programs are attached. */
  get isOn(): boolean {
    return this.hooks.length > 0;
  }

  /** How the programs are attached, for status: `tcx`, `clsact`, or both. */
  get attachments(): string {
    return [...new Set(this.hooks.map(({ attachment }) => attachment))].sort().join(' and ');
  }

  /** Attaches programs for this configuration with these peers, in place of earlier ones. @throws SystemError */
  turnOn(config: FastPathConfig, peers: readonly FastPeer[]): void {
    const tables = new Tables(Math.max(MIN_CAPACITY, 2 * peers.length));
    let programs: Programs;
    try {
      tables.setDevices(config.overlay, config.joiner.sender);
      programs = loadPrograms(config, tables);
    } catch (error) {
      tables.close();
      throw error;
    }
    this.keepCounts();
    this.tables?.close();
    closePrograms(this.programs ?? {});
    this.tables = tables;
    this.programs = programs;
    this.config = config;
    const present = new Set(peers.map(({ vtep }) => vtep));
    for (const vtep of this.past.keys()) if (!present.has(vtep)) this.retire(vtep);
    this.setPeers(peers);
    this.attach(programs, config);
    this.pinTables();
    this.onSwitch(true);
  }

  /** Sets the peers: removes, adds and changes what differs. @throws SystemError */
  setPeers(peers: readonly FastPeer[]): void {
    const { tables, config } = this;
    if (tables === undefined || config === undefined) return;
    const wanted = new Map(peers.map((peer) => [keyOf(peer), peer]));
    for (const [key, { peer }] of this.peers) if (!wanted.has(key)) this.forget(peer);
    const added = peers.filter((peer) => !this.peers.has(keyOf(peer)));
    if (this.peers.size + added.length > tables.capacity) {
      this.turnOn(config, peers);
      return;
    }
    const changed: [FastPeer, number][] = [];
    for (const [key, peer] of wanted) {
      const known = this.peers.get(key);
      if (known !== undefined && isSame(known.peer, peer)) continue;
      const number = known?.number ?? this.newNumber(tables);
      this.peers.set(key, { peer, number });
      changed.push([peer, number]);
    }
    tables.set(changed);
  }

  /** Removes peers whose entries the forwarding threads are about to remove or change. @throws SystemError */
  prepare({ remove, set }: FdbChanges): void {
    this.forget(...remove);
    this.forget(...set.filter((entry) => this.peers.get(keyOf(entry))?.peer.vtep !== entry.address));
  }

  private forget(...macs: readonly Pick<FastPeer, 'high' | 'low'>[]): void {
    for (const mac of macs) {
      const known = this.peers.get(keyOf(mac));
      if (known === undefined || this.tables === undefined) continue;
      this.tables.delete(mac);
      this.addPast(known);
      this.retire(known.peer.vtep);
      this.peers.delete(keyOf(mac));
      this.freeNumbers.push(known.number);
    }
  }

  /** Attaches again what something removed, and corrects entries. Returns the number of repairs. @throws SystemError */
  repair(): number {
    const { programs, tables } = this;
    if (programs === undefined || tables === undefined) return 0;
    let repairs = 0;
    for (const hook of this.hooks) {
      if (hook.isAttached) continue;
      hook.attach(programs[hook.place.name]);
      repairs++;
    }
    const { pins } = this.options;
    for (const [name, map] of this.pinnedTables()) if (pins?.keep(name, map)) repairs++;
    const now = performance.now();
    if (now < this.nextCorrection) return repairs;
    this.nextCorrection = now + (this.peers.size / PEERS_PER_SECOND) * 1000;
    return repairs + tables.correct([...this.peers.values()].map(({ peer, number }) => [peer, number]));
  }

  /** Detaches the programs; the threads get all packets. @throws SystemError */
  turnOff(): void {
    this.onSwitch(false);
    // Before the joiner may disappear: nothing is sent to it any more.
    for (const hook of [...this.hooks].reverse()) hook.detach();
    this.keepCounts();
    this.options.pins?.clear();
    this.release();
  }

  /** Closes the descriptors. Pinned links, and filters, keep forwarding without this process. */
  release(): void {
    for (const hook of this.hooks) hook.release();
    this.hooks = [];
    this.tables?.close();
    closePrograms(this.programs ?? {});
    this.tables = undefined;
    this.programs = undefined;
    this.config = undefined;
  }

  /** Returns the counts of each present peer's address. @throws SystemError */
  counts(): Map<number, PeerCounts> {
    const counts = new Map(this.past);
    if (this.tables === undefined) return counts;
    const present = this.tables.readFirst(this.nextNumber);
    for (const { peer, number } of this.peers.values())
      addTo(counts, peer.vtep, present[number] ?? NO_COUNTS);
    return counts;
  }

  /** Returns the addresses of the peers whose packets it forwards. */
  get addresses(): Set<number> {
    return new Set(this.isOn ? [...this.peers.values()].map(({ peer }) => peer.vtep) : []);
  }

  /** Returns the sum of all packets and bytes since the start. `counts`: what `counts` returned. @throws SystemError */
  total(counts = this.counts()): PeerCounts {
    return [...counts.values()].reduce(addCounts, this.gone);
  }

  private attach(programs: Programs, { underlay, overlay, joiner }: FastPathConfig): void {
    // From the end of a packet's way to its beginning.
    const places: HookPlace[] = [
      { name: 'join', ifindex: joiner.receiver, direction: 'ingress' },
      { name: 'in', ifindex: underlay, direction: 'ingress' },
      { name: 'out', ifindex: overlay, direction: 'egress' },
    ];
    const before = this.hooks;
    this.hooks = places.map(
      (place) => before.find((hook) => isSamePlace(hook.place, place)) ?? new Hook(place, this.options),
    );
    for (const hook of this.hooks) hook.attach(programs[hook.place.name]);
    for (const hook of before) if (!this.hooks.includes(hook)) hook.release();
    const filters = this.hooks.filter(({ attachment }) => attachment === 'clsact');
    removeFilters(
      hooksOf(),
      filters.map(({ place }) => place),
    );
  }

  /** Pins the maps, which bpftool can then show. */
  private pinTables(): void {
    for (const [name, map] of this.pinnedTables()) this.options.pins?.set(name, map);
  }

  private pinnedTables(): [name: string, map: number][] {
    const { tables } = this;
    if (tables === undefined) return [];
    return [
      ['fdb', tables.forwarding],
      ['counts', tables.counts],
    ];
  }

  private newNumber(tables: Tables): number {
    const free = this.freeNumbers.pop();
    if (free === undefined) return this.nextNumber++;
    tables.clear(free);
    return free;
  }

  private keepCounts(): void {
    for (const known of this.peers.values()) this.addPast(known);
    this.peers.clear();
    this.freeNumbers.length = 0;
    this.nextNumber = 0;
  }

  private addPast(known: Known): void {
    addTo(this.past, known.peer.vtep, this.read(known));
  }

  /** Adds the earlier counts of an address to those of peers that are gone. */
  private retire(vtep: number): void {
    this.gone = addCounts(this.gone, this.past.get(vtep) ?? NO_COUNTS);
    this.past.delete(vtep);
  }

  private read({ number }: Known): PeerCounts {
    return this.tables?.read(number) ?? NO_COUNTS;
  }
}

function addTo(sums: Map<number, PeerCounts>, vtep: number, counts: PeerCounts): void {
  sums.set(vtep, addCounts(sums.get(vtep) ?? NO_COUNTS, counts));
}

function keyOf({ high, low }: Pick<FastPeer, 'high' | 'low'>): string {
  return `${high} ${low}`;
}

function isSame(a: FastPeer, b: FastPeer): boolean {
  return (
    a.vtep === b.vtep &&
    a.ifindex === b.ifindex &&
    a.maxFrame === b.maxFrame &&
    a.maxSuperpacket === b.maxSuperpacket
  );
}

function isSamePlace(a: HookPlace, b: HookPlace): boolean {
  return a.name === b.name && a.ifindex === b.ifindex && a.direction === b.direction;
}

/** Removes what the fast path of an earlier process left in this network namespace. Returns whether there was something. */
export function removeFastPath(fileSystem?: string): boolean {
  const removedPins = Pins.clearAll(fileSystem);
  return removeFilters(hooksOf(), []) || removedPins;
}
