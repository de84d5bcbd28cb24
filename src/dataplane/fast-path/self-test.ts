/**
 * The self-test of the fast path: the kernel loads the programs, and they turn one frame into the expected datagram and
 * back. Nothing is attached.
 */

import { ProgramRefused, type TestRun, testRun } from '../../sys/bpf.js';
import { ENOSYS, EPERM } from '../../sys/errno.js';
import { isAtLeast, type KernelVersion, kernelVersion } from '../../sys/kernel-version.js';
import { SystemError } from '../../sys/system-error.js';
import { FastPathUnavailable } from '../errors.js';
import { VERDICT } from './helpers.js';
import { closePrograms, loadPrograms, type Programs } from './programs.js';
import { Tables } from './tables.js';

/** bpf_skb_adjust_room knows an inner Ethernet header since this kernel (BPF_F_ADJ_ROOM_ENCAP_L2_ETH). */
const OLDEST_KERNEL: KernelVersion = [5, 13, 0];

/** The loopback interface stands for all interfaces. Its MAC is zero, so frames to it are for this host. */
const LOOPBACK = 1;
const NO_MACS = '000000000000000000000000';

/** VNI 0x010203, port 8472, this node 192.0.2.1 with MAC 02:00:00:00:00:01, the peer 192.0.2.2 with …:02. */
const CONFIG = {
  vni: 0x010203,
  port: 8472,
  address: 0xc0000201 | 0,
  mac: { high: 0x0200, low: 1 },
  overlay: LOOPBACK,
};
const PEER = {
  high: 0x0200,
  low: 2,
  vtep: 0xc0000202 | 0,
  ifindex: LOOPBACK,
  maxFrame: 1500,
  maxSuperpacket: 65535,
};
const PACKET = '4500001c00010000401166c70af401010af402010000000000080000';
const FRAME_OUT = `0200000000020200000000010800${PACKET}`;
const FRAME_IN = `0200000000010200000000020800${PACKET}`;
/** From the outer EtherType to the source port, and behind it. */
const OUTER_OUT = '08004500004e000000004011f69bc0000201c0000202';
const OUTER_IN = '08004500004e000000004011f69bc0000202c0000201';
const UDP_AND_VXLAN = '2118003a00000800000001020300';

const CAUSES: Record<number, string> = {
  [EPERM]: 'this process lacks CAP_BPF or CAP_NET_ADMIN, or the kernel is locked down',
  [ENOSYS]: 'the kernel has no BPF (CONFIG_BPF_SYSCALL)',
};

/** @throws FastPathUnavailable, with the reason */
export function testFastPath(): void {
  if (!isAtLeast(kernelVersion(), OLDEST_KERNEL))
    throw new FastPathUnavailable(`the kernel is older than ${OLDEST_KERNEL.slice(0, 2).join('.')}`);
  let tables: Tables | undefined;
  let programs: Partial<Programs> = {};
  try {
    tables = new Tables(1);
    const loaded = loadPrograms(CONFIG, tables);
    programs = loaded;
    tables.setDevices(LOOPBACK, LOOPBACK);
    tables.set([[PEER, 0]]);
    demand(testRun(loaded.out, bytesOf(FRAME_OUT)), [OUTER_OUT, UDP_AND_VXLAN + FRAME_OUT]);
    const datagram = `${NO_MACS}${OUTER_IN}8000${UDP_AND_VXLAN}${FRAME_IN}`;
    demand(testRun(loaded.in, bytesOf(datagram)), [FRAME_IN]);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new FastPathUnavailable(CAUSES[error.errno] ?? `${error.message}${verifierText(error)}`);
  } finally {
    closePrograms(programs);
    tables?.close();
  }
}

/** Compares what the program made, without MACs that the kernel writes and the port of the flow. */
function demand({ result, frame }: TestRun, parts: readonly string[]): void {
  const text = Buffer.from(frame).toString('hex');
  const isExpected = result === VERDICT.redirect && parts.every((part) => text.includes(part));
  if (!isExpected) throw new FastPathUnavailable('the BPF programs make other frames than they should');
}

/** Returns the last line of the verifier, which states the cause. */
function verifierText(error: SystemError): string {
  const lines = error instanceof ProgramRefused ? error.log : [];
  // The last line counts instructions.
  const cause = lines.at(-2) ?? lines.at(-1);
  return cause === undefined ? '' : ` (verifier: ${cause})`;
}

function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'));
}
