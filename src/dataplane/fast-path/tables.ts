/**
 * The maps that the programs read, and their layouts. All words are little-endian unless stated otherwise.
 *
 * The forwarding table maps a VTEP's MAC to an entry. The counts have one value per peer and per CPU, so that no two CPUs
 * write the same memory. The devices are those to which frames are redirected. The kernel removes a deleted device from this
 * map (kernel/bpf/devmap.c). So a program that its Weft has left takes no packet away from another vxlan device.
 */

import {
  createMap,
  deleteElement,
  lookUpElement,
  possibleCpus,
  readAll,
  readArray,
  updateBatch,
  updateElement,
} from '../../sys/bpf.js';
import { BPF_MAP_TYPE_DEVMAP, BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_ARRAY } from '../../sys/constants.js';
import { close } from '../../sys/ffi.js';
import { NO_COUNTS, type PeerCounts } from '../tunnel/peer-counts.js';
import { ETHERNET_LENGTH } from '../wire/ethernet.js';
import { OVERHEAD } from './layout.js';

/** A MAC and two zero bytes. */
export const KEY_SIZE = 8;

/** Offsets in an entry. */
export const ENTRY = {
  /** The VTEP's address (network order). */
  vtep: 0,
  /** The interface to it. */
  ifindex: 4,
  /** The peer's number in the counts. */
  peer: 8,
  /** The largest frame that the path carries, with its Ethernet header. */
  maxFrame: 12,
  /** The largest superpacket: 0 where its segments may be larger than the path carries. */
  maxSuperpacket: 16,
  /** When a superpacket of the peer last took the threads (bpf_ktime_get_ns), or 0. Only the program writes it. */
  superpacketTime: 24,
} as const;
export const ENTRY_SIZE = 32;

/** Offsets in the counts of a peer: four numbers of 64 bits. */
export const COUNT = { txPackets: 0, txBytes: 8, rxPackets: 16, rxBytes: 24 } as const;
export const COUNTS_SIZE = 32;

/** Keys of the devices. */
export const DEVICE = { overlay: 0, joiner: 1 } as const;
const DEVICES = 2;

/** A peer as the programs know it. Addresses are IPv4 in host order, signed. */
export interface FastPeer {
  high: number;
  low: number;
  vtep: number;
  ifindex: number;
  maxFrame: number;
  maxSuperpacket: number;
}

/** Larger than any superpacket. */
const NO_LIMIT = 0xffffffff;

/** Returns what fits the MTU of a path, where the overlay device has this MTU; both in bytes of an IP packet. */
export function frameLimits(
  pathMtu: number,
  overlayMtu: number,
): Pick<FastPeer, 'maxFrame' | 'maxSuperpacket'> {
  const room = pathMtu - OVERHEAD;
  // The kernel forwards no segment that is larger than the MTU of the overlay device.
  return { maxFrame: room + ETHERNET_LENGTH, maxSuperpacket: overlayMtu <= room ? NO_LIMIT : 0 };
}

/** Writes the key of a MAC: its first two bytes are `high`, its last four are `low`. */
function writeKey(view: DataView, offset: number, { high, low }: Pick<FastPeer, 'high' | 'low'>): void {
  view.setUint16(offset, high);
  view.setInt32(offset + 2, low);
}

function keyOf(mac: Pick<FastPeer, 'high' | 'low'>): Buffer {
  const view = new DataView(new ArrayBuffer(KEY_SIZE));
  writeKey(view, 0, mac);
  return Buffer.from(view.buffer);
}

function writeEntry(view: DataView, offset: number, peer: FastPeer, number: number): void {
  view.setInt32(offset + ENTRY.vtep, peer.vtep);
  view.setUint32(offset + ENTRY.ifindex, peer.ifindex, true);
  view.setUint32(offset + ENTRY.peer, number, true);
  view.setUint32(offset + ENTRY.maxFrame, peer.maxFrame, true);
  view.setUint32(offset + ENTRY.maxSuperpacket, peer.maxSuperpacket, true);
}

export class Tables {
  /** Peers that fit. */
  readonly capacity: number;
  /** Descriptors of the maps. */
  readonly forwarding: number;
  readonly counts: number;
  readonly devices: number;
  private readonly cpus = possibleCpus();

  /** Creates empty maps. @throws SystemError; then nothing is left open */
  constructor(capacity: number) {
    this.capacity = capacity;
    const maps: number[] = [];
    const create = (name: string, type: number, keySize: number, valueSize: number, maxEntries: number) => {
      const map = createMap({ name, type, keySize, valueSize, maxEntries });
      maps.push(map);
      return map;
    };
    try {
      this.forwarding = create('weft_fdb', BPF_MAP_TYPE_HASH, KEY_SIZE, ENTRY_SIZE, capacity);
      this.counts = create('weft_counts', BPF_MAP_TYPE_PERCPU_ARRAY, 4, COUNTS_SIZE, capacity);
      this.devices = create('weft_devices', BPF_MAP_TYPE_DEVMAP, 4, 4, DEVICES);
    } catch (error) {
      for (const map of maps) close(map);
      throw error;
    }
  }

  /** Sets the interfaces to which frames are redirected. @throws SystemError if one does not exist */
  setDevices(overlay: number, joiner: number): void {
    updateElement(this.devices, wordOf(DEVICE.overlay), wordOf(overlay));
    updateElement(this.devices, wordOf(DEVICE.joiner), wordOf(joiner));
  }

  /** Sets the entries of peers, each with its number. @throws SystemError */
  set(peers: readonly (readonly [peer: FastPeer, number: number])[]): void {
    const keys = new DataView(new ArrayBuffer(peers.length * KEY_SIZE));
    const entries = new DataView(new ArrayBuffer(peers.length * ENTRY_SIZE));
    peers.forEach(([peer, number], index) => {
      writeKey(keys, index * KEY_SIZE, peer);
      writeEntry(entries, index * ENTRY_SIZE, peer, number);
    });
    updateBatch(this.forwarding, new Uint8Array(keys.buffer), new Uint8Array(entries.buffer), peers.length);
  }

  /** Corrects entries that differ from these peers. Returns how many did. @throws SystemError */
  correct(peers: readonly (readonly [peer: FastPeer, number: number])[]): number {
    const present = new Map(
      readAll(this.forwarding, KEY_SIZE, ENTRY_SIZE, this.capacity).map(({ key, value }) => [
        key.toString('hex'),
        value,
      ]),
    );
    const wrong: (readonly [FastPeer, number])[] = [];
    for (const [peer, number] of peers) {
      const entry = new DataView(new ArrayBuffer(ENTRY_SIZE));
      writeEntry(entry, 0, peer, number);
      const name = keyOf(peer).toString('hex');
      const wanted = Buffer.from(entry.buffer, 0, ENTRY.superpacketTime);
      if (present.get(name)?.subarray(0, ENTRY.superpacketTime).equals(wanted) !== true)
        wrong.push([peer, number]);
      present.delete(name);
    }
    // First, because a full table has no room.
    for (const name of present.keys()) deleteElement(this.forwarding, Buffer.from(name, 'hex'));
    this.set(wrong);
    return wrong.length + present.size;
  }

  /** Removes the entry of a MAC. @throws SystemError */
  delete(mac: Pick<FastPeer, 'high' | 'low'>): void {
    deleteElement(this.forwarding, keyOf(mac));
  }

  /** Returns the counts of a number, summed over the CPUs. @throws SystemError */
  read(number: number): PeerCounts {
    const values = new Uint8Array(this.cpus * COUNTS_SIZE);
    lookUpElement(this.counts, wordOf(number), values);
    return sumOf(new Uint32Array(values.buffer), 0, this.cpus);
  }

  /** Returns the counts of the first `length` numbers. Linux 5.13 reads them together. @throws SystemError */
  readFirst(length: number): PeerCounts[] {
    const size = this.cpus * COUNTS_SIZE;
    const counts: PeerCounts[] = [];
    const add = (values: Uint8Array, elements: number): void => {
      const words = new Uint32Array(values.buffer, values.byteOffset, values.byteLength / 4);
      for (let i = 0; i < elements && counts.length < length; i++)
        counts.push(sumOf(words, (i * size) / 4, this.cpus));
    };
    if (length > 0 && readArray(this.counts, size, length, add)) return counts;
    return Array.from({ length }, (_, number) => this.read(number));
  }

  /** Sets the counts of a number to 0 on every CPU. @throws SystemError */
  clear(number: number): void {
    updateElement(this.counts, wordOf(number), new Uint8Array(this.cpus * COUNTS_SIZE));
  }

  close(): void {
    close(this.forwarding);
    close(this.counts);
    close(this.devices);
  }
}

/** Returns the counts at `first`, summed over the CPUs. `words` are little-endian, as on every machine that Weft runs on. */
function sumOf(words: Uint32Array, first: number, cpus: number): PeerCounts {
  const sum = { ...NO_COUNTS };
  for (let cpu = 0, at = first; cpu < cpus; cpu++, at += COUNTS_SIZE / 4) {
    sum.txPackets += wideAt(words, at + COUNT.txPackets / 4);
    sum.txBytes += wideAt(words, at + COUNT.txBytes / 4);
    sum.rxPackets += wideAt(words, at + COUNT.rxPackets / 4);
    sum.rxBytes += wideAt(words, at + COUNT.rxBytes / 4);
  }
  return sum;
}

/** Returns a number of 64 bits, exact to 2^53. */
function wideAt(words: Uint32Array, at: number): number {
  return words[at] + words[at + 1] * 2 ** 32;
}

function wordOf(number: number): Uint8Array {
  return new Uint8Array(new Uint32Array([number]).buffer);
}
