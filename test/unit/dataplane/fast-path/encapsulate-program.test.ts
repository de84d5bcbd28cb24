import t, { type Test } from 'tap';
import { VERDICT } from '../../../../src/dataplane/fast-path/helpers.js';
import { NO_COUNTS } from '../../../../src/dataplane/tunnel/peer-counts.js';
import { possibleCpus, type TestContext, updateElement } from '../../../../src/sys/bpf.js';
import { concat, hex, pattern, toHex, viewOf } from '../../../support/bytes.js';
import {
  frameOf,
  INNER_ETHERNET,
  isPassed,
  OTHER,
  OUTER_IP,
  OUTER_UDP,
  PEER,
  ProgramRunner,
  type RunnerOptions,
  UDP_OUT,
  withBpf,
} from '../../../support/fast-path.js';
import { BROADCAST, MAC_A, MAC_B, MAC_C, tagged, tcpFrame, udpFrame } from '../../../support/frames.js';
import { slowSum } from '../../../support/reference.js';

const BPF = withBpf();
const UDP_FRAME = frameOf(MAC_B, MAC_A, 0x0800, UDP_OUT);
/** 32768 to 60999: net.ipv4.ip_local_port_range of a new kernel. */
const FIRST_PORT = 32768;
const LAST_PORT = 60999;

function runnerFor(t: Test, options?: RunnerOptions): ProgramRunner {
  const runner = new ProgramRunner(options);
  t.teardown(() => runner.close());
  return runner;
}

/** Runs a frame that must pass to the forwarding threads, uncounted. */
function passes(t: Test, frame: Uint8Array, options?: RunnerOptions, context?: TestContext): void {
  const runner = runnerFor(t, options);
  t.ok(isPassed(runner.out(frame, context), frame));
  t.same([runner.counts(0), runner.counts(1)], [NO_COUNTS, NO_COUNTS]);
}

/** Runs a frame that must be encapsulated. Returns the datagram. */
function encapsulated(t: Test, frame: Uint8Array, runner = runnerFor(t), context?: TestContext): Uint8Array {
  const run = runner.out(frame, context);
  t.equal(run.result, VERDICT.redirect);
  t.equal(toHex(run.frame.slice(INNER_ETHERNET)), toHex(frame), 'the inner frame is unchanged');
  t.equal(slowSum(run.frame.slice(OUTER_IP, OUTER_UDP)), 0xffff, 'the header checksum is right');
  return run.frame;
}

function portOf(datagram: Uint8Array): number {
  return viewOf(datagram).getUint16(OUTER_UDP);
}

t.test('the frame of a known peer gets these outer headers', BPF, async (t) => {
  const datagram = encapsulated(t, UDP_FRAME);
  const port = toHex(datagram.slice(OUTER_UDP, OUTER_UDP + 2));
  t.equal(
    toHex(datagram.slice(OUTER_IP, INNER_ETHERNET)),
    `450000520000000040115f47c0a84d01c0a84d02${port}2118003e00000800000001020300`,
  );
});

t.test('the destination MAC chooses the peer', BPF, async (t) => {
  const runner = runnerFor(t);
  const datagram = encapsulated(t, frameOf(MAC_C, MAC_A, 0x0800, UDP_OUT), runner);
  t.equal(toHex(datagram.slice(30, 34)), 'c0a84d03');
  t.same(runner.counts(0), NO_COUNTS);
  t.same(runner.counts(1), { ...NO_COUNTS, txPackets: 1, txBytes: 46 });
});

t.test('the outer lengths follow the frame', BPF, async (t) => {
  for (const length of [0, 1, 200, 1000]) {
    const frame = udpFrame({ payload: pattern(length) });
    const view = viewOf(encapsulated(t, frame));
    t.equal(view.getUint16(OUTER_IP + 2), frame.length + 36);
    t.equal(view.getUint16(OUTER_UDP + 4), frame.length + 16);
  }
});

t.test('the identification counts the packets of the peer on this CPU', BPF, async (t) => {
  const runner = runnerFor(t);
  const seen = new Set<number>();
  for (let packet = 0; packet < 50; packet++)
    seen.add(viewOf(encapsulated(t, UDP_FRAME, runner)).getUint16(OUTER_IP + 4, true));
  t.ok(seen.has(0) && Math.max(...seen) < 50);
  // The test may move to another CPU, whose count begins at 0.
  t.ok(seen.size >= 50 / possibleCpus());
});

t.test('the identification begins again after 65535', BPF, async (t) => {
  const runner = runnerFor(t);
  const counts = new BigUint64Array(4 * possibleCpus()).fill(0x2fffen);
  updateElement(runner.tables.counts, new Uint8Array(4), new Uint8Array(counts.buffer));
  t.equal(viewOf(encapsulated(t, UDP_FRAME, runner)).getUint16(OUTER_IP + 4, true), 0xfffe);
});

t.test('the outer ECN field is the inner one, and the DSCP is zero', BPF, async (t) => {
  for (let ecn = 0; ecn < 4; ecn++) {
    const four = udpFrame({ mutate: (frame) => viewOf(frame).setUint8(15, 0xb8 | ecn) });
    t.equal(encapsulated(t, four)[OUTER_IP + 1], ecn, `IPv4, ${ecn}`);
    // Traffic class 0xb8 and the ECN field, flow label 0x12345.
    const class6 = 0x6b812345 | (ecn << 20);
    const six = udpFrame({ ipv6: true, mutate: (frame) => viewOf(frame).setUint32(14, class6) });
    t.equal(encapsulated(t, six)[OUTER_IP + 1], ecn, `IPv6, ${ecn}`);
  }
});

t.test('an IPv6 packet is encapsulated', BPF, async (t) => {
  const frame = tcpFrame({ ipv6: true });
  const view = viewOf(encapsulated(t, frame));
  t.equal(view.getUint16(OUTER_IP + 2), frame.length + 36);
});

t.test('packets of a flow have one source port', BPF, async (t) => {
  const runner = runnerFor(t);
  const ports = [1, 2, 3].map((sequence) =>
    portOf(encapsulated(t, tcpFrame({ sequence, payload: pattern(sequence) }), runner)),
  );
  t.equal(new Set(ports).size, 1);
});

t.test('source ports of flows are spread over the range of the kernel', BPF, async (t) => {
  const runner = runnerFor(t);
  const ports = Array.from({ length: 256 }, (_, index) => {
    const frame = udpFrame({ mutate: (bytes) => viewOf(bytes).setUint16(34, 1000 + index) });
    return portOf(encapsulated(t, frame, runner));
  });
  t.ok(Math.min(...ports) >= FIRST_PORT && Math.max(...ports) <= LAST_PORT);
  t.ok(Math.max(...ports) - Math.min(...ports) > (LAST_PORT - FIRST_PORT) / 2);
  t.ok(new Set(ports).size > 200);
});

t.test('a frame is counted with its Ethernet header', BPF, async (t) => {
  const runner = runnerFor(t);
  encapsulated(t, UDP_FRAME, runner);
  encapsulated(t, udpFrame({ payload: pattern(100) }), runner);
  t.same(runner.counts(), { ...NO_COUNTS, txPackets: 2, txBytes: 46 + 142 });
});

t.test('a frame as large as the path carries is encapsulated, a larger one passes', BPF, async (t) => {
  const options = { peers: [[{ ...PEER, maxFrame: 142 }, 0]] } as const;
  encapsulated(t, udpFrame({ payload: pattern(100) }), runnerFor(t, options));
  passes(t, udpFrame({ payload: pattern(101) }), options);
});

t.test('a superpacket passes unchanged where the kernel refuses to encapsulate it', BPF, async (t) => {
  // The superpacket of a test run has no type, so bpf_skb_adjust_room refuses it.
  passes(t, tcpFrame({ payload: pattern(3000) }), undefined, { gsoSize: 1000, gsoSegs: 3 });
});

t.test('a peer whose number has no counts loses the frame', BPF, async (t) => {
  const runner = runnerFor(t, { peers: [[PEER, 99]] });
  t.equal(runner.out(UDP_FRAME).result, VERDICT.drop);
});

const PASSED: Record<string, Uint8Array> = {
  'an unknown MAC': frameOf('02:00:00:00:00:99', MAC_A, 0x0800, UDP_OUT),
  'the broadcast MAC': frameOf(BROADCAST, MAC_A, 0x0800, UDP_OUT),
  'a MAC that differs in its first byte': frameOf('03:00:00:00:00:0b', MAC_A, 0x0800, UDP_OUT),
  'a VLAN tag': tagged(UDP_FRAME),
  ARP: frameOf(MAC_B, MAC_A, 0x0806, UDP_OUT),
  MPLS: frameOf(MAC_B, MAC_A, 0x8847, UDP_OUT),
  'an IPv4 packet with the EtherType of IPv6': frameOf(MAC_B, MAC_A, 0x86dd, concat(UDP_OUT, pattern(8))),
  'an IPv6 packet with the EtherType of IPv4': frameOf(
    MAC_B,
    MAC_A,
    0x0800,
    tcpFrame({ ipv6: true }).slice(14),
  ),
  'IP options': udpFrame({ ipOptions: hex('94040000') }),
  'an IPv4 header of four words': frameOf(MAC_B, MAC_A, 0x0800, concat(hex('44'), UDP_OUT.slice(1))),
  'nothing but an Ethernet header': frameOf(MAC_B, MAC_A, 0x88b5, new Uint8Array(0)),
};

for (const [name, frame] of Object.entries(PASSED)) {
  t.test(`the encapsulate program passes a frame with ${name}`, BPF, async (t) => passes(t, frame));
}

t.test('the encapsulate program passes a frame with an incomplete IP header', BPF, async (t) => {
  passes(t, frameOf(MAC_B, MAC_A, 0x0806, UDP_OUT.slice(0, 19)));
});

t.test('the encapsulate program passes a frame to a peer that is removed', BPF, async (t) => {
  const runner = runnerFor(t);
  runner.tables.delete(PEER);
  t.ok(isPassed(runner.out(UDP_FRAME), UDP_FRAME));
  encapsulated(t, frameOf(MAC_C, MAC_A, 0x0800, UDP_OUT), runner);
});

t.test('the encapsulate program follows a peer to a new address', BPF, async (t) => {
  const runner = runnerFor(t);
  runner.tables.set([[{ ...PEER, vtep: OTHER.vtep }, 0]]);
  t.equal(toHex(encapsulated(t, UDP_FRAME, runner).slice(30, 34)), 'c0a84d03');
});
