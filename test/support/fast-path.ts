/** Runs the programs of the fast path on frames, without an interface (BPF_PROG_TEST_RUN). */

import { VERDICT } from '../../src/dataplane/fast-path/helpers.js';
import { closePrograms, loadPrograms, type Programs } from '../../src/dataplane/fast-path/programs.js';
import { type FastPeer, Tables } from '../../src/dataplane/fast-path/tables.js';
import type { PeerCounts } from '../../src/dataplane/tunnel/peer-counts.js';
import { createMap, type TestContext, type TestRun, testRun } from '../../src/sys/bpf.js';
import { BPF_MAP_TYPE_HASH } from '../../src/sys/constants.js';
import { close } from '../../src/sys/ffi.js';
import { SystemError } from '../../src/sys/system-error.js';
import { concat, hex, ipv4, mac, viewOf } from './bytes.js';
import { MAC_A, MAC_B, MAC_C } from './frames.js';
import { slowChecksum } from './reference.js';

export const VNI = 0x010203;
export const PORT = 8472;
/** This node has MAC_A. */
export const OWN_ADDRESS = '192.168.77.1';
/** The peer has MAC_B and number 0, the other peer has MAC_C and number 1. */
export const PEER_ADDRESS = '192.168.77.2';
export const OTHER_ADDRESS = '192.168.77.3';

/** The loopback interface, whose MAC is zero, stands for all interfaces. */
const LOOPBACK = 1;
const CAPACITY = 4;

/** Returns options for a test that needs BPF: a system that refuses it reports the test as skipped, except in CI. */
export function withBpf(): { skip: string | false } {
  if (process.env.CI !== undefined) return { skip: false };
  try {
    close(createMap({ name: 'weft_test', type: BPF_MAP_TYPE_HASH, keySize: 4, valueSize: 4, maxEntries: 1 }));
    return { skip: false };
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return { skip: `this system has no BPF: ${error.message}` };
  }
}

export const PEER: FastPeer = {
  ...mac(MAC_B),
  vtep: ipv4(PEER_ADDRESS),
  ifindex: LOOPBACK,
  maxFrame: 1464,
  maxSuperpacket: 65535,
};
export const OTHER: FastPeer = { ...PEER, ...mac(MAC_C), vtep: ipv4(OTHER_ADDRESS) };

export interface RunnerOptions {
  peers?: readonly (readonly [peer: FastPeer, number: number])[];
  /** Whether the devices to redirect to exist; true by default. */
  devices?: boolean;
  vni?: number;
  port?: number;
  /** The MAC of this node. */
  mac?: { high: number; low: number };
  /** Whether the kernel keeps TCP superpackets whole behind the tunnel; true by default. */
  isKept?: boolean;
}

/** The loaded programs and their tables. */
export class ProgramRunner {
  readonly tables: Tables;
  private readonly programs: Programs;
  private readonly peers: readonly (readonly [peer: FastPeer, number: number])[];

  constructor(options: RunnerOptions = {}) {
    const { peers, devices = true, vni = VNI, port = PORT, mac: own = mac(MAC_A), isKept = true } = options;
    const all = peers ?? [[PEER, 0] as const, [OTHER, 1] as const];
    this.tables = new Tables(Math.max(CAPACITY, all.length));
    this.programs = loadPrograms(
      { vni, port, address: ipv4(OWN_ADDRESS), mac: own, overlay: LOOPBACK },
      this.tables,
      isKept,
    );
    this.peers = all;
    this.tables.set(all);
    if (devices) this.tables.setDevices(LOOPBACK, LOOPBACK);
  }

  /** Runs the encapsulate program. */
  out(frame: Uint8Array, context?: TestContext): TestRun {
    return testRun(this.programs.out, frame, context);
  }

  /** Runs the decapsulate program. */
  in(frame: Uint8Array, context?: TestContext): TestRun {
    return testRun(this.programs.in, frame, context);
  }

  /** Runs the program of the joiner. */
  join(frame: Uint8Array): TestRun {
    return testRun(this.programs.join, frame);
  }

  /** Compares the entries with the peers. Returns how many differed. */
  correct(): number {
    return this.tables.correct(this.peers);
  }

  counts(number = 0): PeerCounts {
    return this.tables.read(number);
  }

  close(): void {
    closePrograms(this.programs);
    this.tables.close();
  }
}

/** Returns whether the program let the frame continue to a forwarding thread, unchanged. */
export function isPassed({ result, frame }: TestRun, original: Uint8Array): boolean {
  return result === VERDICT.next && Buffer.compare(frame, original) === 0;
}

/** Inner packets of one flow: 10.244.1.2 to 10.244.2.2 when sent, the other way when received. Payload `weft`. */
export const UDP_OUT = hex('4500002000010000401161e20af401020af402029c400035000c6c9c77656674');
export const UDP_IN = hex('4500002000010000401161e20af402010af401029c400035000c6c9c77656674');
export const TCP_IN = hex(
  '4500002c00010000400661e10af402010af401029c4001bb000000015a5a5a5a501001f66465000077656674',
);

/** Returns a frame with an Ethernet header. */
export function frameOf(
  destination: string,
  source: string,
  etherType: number,
  packet: Uint8Array,
): Uint8Array {
  const macs = hex(`${destination}${source}`.replaceAll(':', ''));
  return concat(macs, Uint8Array.of(etherType >> 8, etherType & 255), packet);
}

/** Offsets in a datagram. */
export const OUTER_IP = 14;
export const OUTER_UDP = 34;
export const VXLAN = 42;
export const INNER_ETHERNET = 50;
export const INNER_IP = 64;

/** Returns a frame from the peer to this node with this inner frame. The outer UDP checksum is zero. */
export function datagramOf(inner: Uint8Array, tos = 0): Uint8Array {
  const datagram = concat(
    hex('000000000000 020000000102 0800'),
    hex('45000000 12340000 40110000 c0a84d02 c0a84d01 82352118 00000000 0800000001020300'),
    inner,
  );
  const view = viewOf(datagram);
  view.setUint8(OUTER_IP + 1, tos);
  view.setUint16(OUTER_IP + 2, datagram.length - OUTER_IP);
  view.setUint16(OUTER_UDP + 4, datagram.length - OUTER_UDP);
  return withHeaderChecksum(datagram);
}

/** Returns a copy with the right checksum of the outer IPv4 header, which has no options. */
export function withHeaderChecksum(datagram: Uint8Array): Uint8Array {
  const copy = datagram.slice();
  const view = viewOf(copy);
  view.setUint16(OUTER_IP + 10, 0);
  view.setUint16(OUTER_IP + 10, slowChecksum(copy.slice(OUTER_IP, OUTER_IP + 20)));
  return copy;
}

/** Returns a copy with a change, and with the right checksum of the outer IPv4 header after it. */
export function changed(datagram: Uint8Array, change: (view: DataView) => void): Uint8Array {
  const copy = datagram.slice();
  change(viewOf(copy));
  return withHeaderChecksum(copy);
}
