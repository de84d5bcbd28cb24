import t, { type Test } from 'tap';
import { VERDICT } from '../../../../src/dataplane/fast-path/helpers.js';
import { DEVICE } from '../../../../src/dataplane/fast-path/tables.js';
import { NO_COUNTS } from '../../../../src/dataplane/tunnel/peer-counts.js';
import { deleteElement } from '../../../../src/sys/bpf.js';
import { concat, hex, pattern, toHex, viewOf } from '../../../support/bytes.js';
import {
  changed,
  datagramOf,
  frameOf,
  INNER_ETHERNET,
  isPassed,
  OUTER_IP,
  OUTER_UDP,
  PEER,
  ProgramRunner,
  type RunnerOptions,
  TCP_IN,
  UDP_IN,
  VXLAN,
  withBpf,
  withHeaderChecksum,
} from '../../../support/fast-path.js';
import { MAC_A, MAC_B, tagged, udpFrame } from '../../../support/frames.js';

const BPF = withBpf();
const FRAME = frameOf(MAC_A, MAC_B, 0x0800, UDP_IN);
const DATAGRAM = datagramOf(FRAME);

function runnerFor(t: Test, options?: RunnerOptions): ProgramRunner {
  const runner = new ProgramRunner(options);
  t.teardown(() => runner.close());
  return runner;
}

function accepts(t: Test, datagram: Uint8Array, frame = FRAME, runner = runnerFor(t)): void {
  const run = runner.in(datagram);
  t.equal(run.result, VERDICT.redirect);
  t.equal(toHex(run.frame), toHex(frame));
}

function passes(t: Test, datagram: Uint8Array, runner = runnerFor(t)): void {
  t.ok(isPassed(runner.in(datagram), datagram), toHex(datagram));
  t.same([runner.counts(0), runner.counts(1)], [NO_COUNTS, NO_COUNTS]);
}

t.test('a datagram of the peer becomes its inner frame', BPF, async (t) => {
  accepts(
    t,
    hex(
      `000000000000 020000000102 0800
       45000052123400004011 4d13 c0a84d02c0a84d01 82352118003e0000 0800000001020300
       02000000000a02000000000b0800
       4500002000010000401161e20af402010af401029c400035000c6c9c77656674`,
    ),
  );
});

t.test('a TCP segment becomes its inner frame', BPF, async (t) => {
  const frame = frameOf(MAC_A, MAC_B, 0x0800, TCP_IN);
  accepts(t, datagramOf(frame), frame);
});

t.test('a TCP segment is received without a joiner too', BPF, async (t) => {
  const runner = runnerFor(t);
  deleteElement(runner.tables.devices, Uint8Array.of(DEVICE.joiner, 0, 0, 0));
  const frame = frameOf(MAC_A, MAC_B, 0x0800, TCP_IN);
  accepts(t, datagramOf(frame), frame, runner);
});

t.test('an accepted frame is counted for its peer, without outer headers', BPF, async (t) => {
  const runner = runnerFor(t);
  accepts(t, DATAGRAM, FRAME, runner);
  accepts(t, DATAGRAM, FRAME, runner);
  t.same(runner.counts(0), { ...NO_COUNTS, rxPackets: 2, rxBytes: 2 * 46 });
  t.same(runner.counts(1), NO_COUNTS);
});

t.test('a peer whose number has no counts loses the frame', BPF, async (t) => {
  const runner = runnerFor(t, { peers: [[PEER, 99]] });
  t.equal(runner.in(DATAGRAM).result, VERDICT.drop);
});

t.test('a datagram passes while the overlay device is missing', BPF, async (t) => {
  passes(t, DATAGRAM, runnerFor(t, { devices: false }));
});

t.test('a superpacket passes unchanged where the kernel refuses to decapsulate it', BPF, async (t) => {
  // The superpacket of a test run has no type, so bpf_skb_adjust_room refuses it.
  const runner = runnerFor(t);
  t.ok(isPassed(runner.in(DATAGRAM, { gsoSize: 20, gsoSegs: 2 }), DATAGRAM));
  t.same(runner.counts(), NO_COUNTS);
});

type Change = (view: DataView) => void;
const set8 =
  (at: number, value: number): Change =>
  (view) =>
    view.setUint8(at, value);
const set16 =
  (at: number, value: number): Change =>
  (view) =>
    view.setUint16(at, value);
const set32 =
  (at: number, value: number): Change =>
  (view) =>
    view.setUint32(at, value);
const flip =
  (at: number, bit: number): Change =>
  (view) =>
    view.setUint8(at, view.getUint8(at) ^ (1 << bit));
const LENGTH = DATAGRAM.length;

const ACCEPTED: Record<string, Change> = {
  DF: set16(OUTER_IP + 6, 0x4000),
  'the reserved bit of the fragment field': set16(OUTER_IP + 6, 0x8000),
  'another DSCP': set8(OUTER_IP + 1, 0xb8),
  'another identification': set16(OUTER_IP + 4, 0xffff),
  'another TTL': set8(OUTER_IP + 8, 1),
  'another source port': set16(OUTER_UDP, 1),
  'another outer source MAC': set16(6, 0x0202),
};

for (const [name, change] of Object.entries(ACCEPTED)) {
  t.test(`the decapsulate program accepts ${name}`, BPF, async (t) => accepts(t, changed(DATAGRAM, change)));
}

const PASSED: Record<string, Change> = {
  'the EtherType of IPv6': set16(12, 0x86dd),
  'the EtherType of ARP': set16(12, 0x0806),
  'a destination MAC that is not the interface’s': set8(0, 2),
  'a multicast destination MAC': set8(0, 1),
  'the protocol TCP': set8(OUTER_IP + 9, 6),
  'the protocol UDP-Lite': set8(OUTER_IP + 9, 136),
  'IP version 6': set8(OUTER_IP, 0x65),
  'an IPv4 header of four words': set8(OUTER_IP, 0x44),
  'an IPv4 header of six words': set8(OUTER_IP, 0x46),
  'another destination address': set32(OUTER_IP + 16, 0xc0a84d09),
  'the source address of another lease': set32(OUTER_IP + 12, 0xc0a84d03),
  'the source address of no lease': set32(OUTER_IP + 12, 0xc0a84d63),
  'MF, the first fragment': set16(OUTER_IP + 6, 0x2000),
  'a fragment offset, the last fragment': set16(OUTER_IP + 6, 0x0001),
  'the largest fragment offset': set16(OUTER_IP + 6, 0x1fff),
  'DF and MF': set16(OUTER_IP + 6, 0x6000),
  'another port': set16(OUTER_UDP + 2, 8473),
  'the port in the other byte order': set16(OUTER_UDP + 2, 0x1821),
  'a total length below that of UDP': set16(OUTER_IP + 2, LENGTH - 15),
  'a total length beyond the frame': set16(OUTER_IP + 2, LENGTH - 13),
  'a total length of zero': set16(OUTER_IP + 2, 0),
  'a UDP length below that of IPv4': set16(OUTER_UDP + 4, LENGTH - 35),
  'a UDP length beyond that of IPv4': set16(OUTER_UDP + 4, LENGTH - 33),
  'a UDP length of zero': set16(OUTER_UDP + 4, 0),
  'both lengths beyond the frame': (view) => {
    view.setUint16(OUTER_IP + 2, LENGTH - 13);
    view.setUint16(OUTER_UDP + 4, LENGTH - 33);
  },
  'group policy': set8(VXLAN, 0x88),
  'no VNI flag': set8(VXLAN, 0x00),
  'another VNI': set32(VXLAN + 4, 0x01020400),
  'a VNI that differs in its first byte': set32(VXLAN + 4, 0x02020300),
  'the VNI in the lower bytes': set32(VXLAN + 4, 0x00010203),
};
for (const byte of [0, 1, 2, 3]) {
  for (let bit = 0; bit < 8; bit++)
    PASSED[`bit ${bit} of VXLAN byte ${byte} inverted`] = flip(VXLAN + byte, bit);
}
for (let bit = 0; bit < 8; bit++) PASSED[`bit ${bit} of the last VXLAN byte`] = flip(VXLAN + 7, bit);

for (const [name, change] of Object.entries(PASSED)) {
  t.test(`the decapsulate program passes ${name}`, BPF, async (t) => passes(t, changed(DATAGRAM, change)));
}

t.test('the decapsulate program passes a wrong header checksum', BPF, async (t) => {
  for (let bit = 0; bit < 160; bit++) {
    const datagram = DATAGRAM.slice();
    datagram[OUTER_IP + (bit >> 3)] ^= 1 << (bit & 7);
    const runner = runnerFor(t);
    t.ok(isPassed(runner.in(datagram), datagram), `bit ${bit} of the IPv4 header`);
  }
});

t.test('the decapsulate program accepts the checksum 0xffff for 0, as the kernel does', BPF, async (t) => {
  // The identification makes the sum of all other words 0xffff.
  const view = viewOf(DATAGRAM);
  const identification = 0x1234 + view.getUint16(OUTER_IP + 10);
  const zero = changed(DATAGRAM, set16(OUTER_IP + 4, identification));
  t.equal(viewOf(zero).getUint16(OUTER_IP + 10), 0);
  accepts(t, zero);
  const ones = zero.slice();
  viewOf(ones).setUint16(OUTER_IP + 10, 0xffff);
  accepts(t, ones);
});

t.test('the decapsulate program passes IP options', BPF, async (t) => {
  const datagram = concat(DATAGRAM.slice(0, OUTER_UDP), hex('94040000'), DATAGRAM.slice(OUTER_UDP));
  viewOf(datagram).setUint8(OUTER_IP, 0x46);
  viewOf(datagram).setUint16(OUTER_IP + 2, datagram.length - OUTER_IP);
  passes(t, datagram);
});

t.test('the decapsulate program passes trailing bytes behind the datagram', BPF, async (t) => {
  passes(t, concat(DATAGRAM, hex('00')));
  passes(t, concat(DATAGRAM, new Uint8Array(18)));
});

t.test('the decapsulate program passes bytes behind the UDP datagram in the IPv4 packet', BPF, async (t) => {
  const datagram = datagramOf(concat(FRAME, hex('00000000')));
  passes(t, changed(datagram, set16(OUTER_UDP + 4, LENGTH - OUTER_UDP)));
});

t.test('the decapsulate program passes another EtherType on a datagram of any length', BPF, async (t) => {
  // bpf_skb_adjust_room refuses a small one with the EtherType of IPv6.
  const large = datagramOf(udpFrame({ destination: MAC_A, source: MAC_B, payload: pattern(1000) }));
  passes(t, changed(large, set16(12, 0x86dd)));
});

t.test('the decapsulate program passes a VLAN tag', BPF, async (t) => passes(t, tagged(DATAGRAM)));

t.test('the decapsulate program passes incomplete datagrams', BPF, async (t) => {
  for (const length of [34, 42, 50, 64, 83]) {
    const short = DATAGRAM.slice(0, length);
    const view = viewOf(short);
    view.setUint16(OUTER_IP + 2, length - OUTER_IP);
    if (length >= 42) view.setUint16(OUTER_UDP + 4, length - OUTER_UDP);
    passes(t, withHeaderChecksum(short));
  }
});

t.test('the decapsulate program passes the datagram of a peer that is removed', BPF, async (t) => {
  const runner = runnerFor(t);
  runner.tables.delete(PEER);
  passes(t, DATAGRAM, runner);
});

t.test('the inner frame begins behind 50 bytes', BPF, async (t) => {
  t.equal(toHex(DATAGRAM.slice(INNER_ETHERNET)), toHex(FRAME));
});
