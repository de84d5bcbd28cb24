// Each test is a rule: which packets join, which must not, what a superpacket looks like. `entries` returns the packets that
// leave together, `superpacket` the bytes of such an entry.

import t from 'tap';
import { CHECKSUM_COMPLETE, CHECKSUM_PARTIAL } from '../../../../src/dataplane/memory/batch.js';
import { Coalescer } from '../../../../src/dataplane/offload/coalesce.js';
import { PartialChecksum } from '../../../../src/dataplane/offload/partial-checksum.js';
import { ETHERNET_LENGTH } from '../../../../src/dataplane/wire/ethernet.js';
import { concat, hex, pattern, toHex, viewOf } from '../../../support/bytes.js';
import {
  type FrameOptions,
  rawFrame,
  tagged,
  tcpFrame,
  udpFrame,
  withHopByHop,
} from '../../../support/frames.js';
import { Kit } from '../../../support/kit.js';
import {
  ipv4HeaderChecksum,
  layoutOf,
  naiveSegments,
  pseudoHeader,
  slowSum,
  withChecksums,
  withPartialChecksum,
} from '../../../support/reference.js';

const FIN = 0x01;
const SYN = 0x02;
const RST = 0x04;
const PSH = 0x08;
const ACK = 0x10;
const URG = 0x20;
const ECE = 0x40;
const CWR = 0x80;

const SIZE = 1000;
const kit = new Kit(1024, 2048);
const partial = new PartialChecksum(kit.arena, kit.checksum, kit.counters, ETHERNET_LENGTH + 1450);
const withUdp = new Coalescer(kit.arena, kit.checksum, partial, {
  maxBatch: 1024,
  udp: true,
  linkLength: ETHERNET_LENGTH,
});
const withoutUdp = new Coalescer(kit.arena, kit.checksum, partial, {
  maxBatch: 1024,
  udp: false,
  linkLength: ETHERNET_LENGTH,
});

/** The packets of each entry, by their number in the burst. */
function entries(frames: readonly Uint8Array[], coalescer = withUdp): number[][] {
  kit.fill(frames);
  coalescer.coalesce(kit.batch);
  return Array.from({ length: coalescer.count }, (_, entry) => {
    const packets: number[] = [];
    for (let at = coalescer.head[entry] as number; at >= 0; at = coalescer.next[at] as number)
      packets.push(at);
    return packets;
  });
}

/** The superpacket of an entry. */
function superpacket([head, ...others]: readonly [number, ...number[]]): Uint8Array {
  const { headersLength } = kit.batch.headers[head];
  return concat(kit.packet(head), ...others.map((packet) => kit.packet(packet).slice(headersLength)));
}

/** Segment `index` of a TCP flow of segments of SIZE bytes; DF is set, so the identification does not matter. */
function tcp(index: number, options: FrameOptions = {}): Uint8Array {
  return tcpFrame({ payload: pattern(SIZE, index + 1), sequence: 5000 + index * SIZE, ...options });
}

function udp(index: number, options: FrameOptions = {}): Uint8Array {
  return udpFrame({ payload: pattern(SIZE, index + 1), ...options });
}

/** Sets bytes of the frame before its checksums are made. */
function bytes(...changes: [at: number, value: number][]): FrameOptions {
  return {
    mutate: (frame) => {
      for (const [at, value] of changes) frame[at] = value;
    },
  };
}

const IP = 14;
const TCP4 = 34;
const TCP6 = 54;

// Packets that may join.

t.test('Coalescer joins consecutive segments of a flow', async (t) => {
  for (const ipv6 of [false, true]) {
    const options = { ipv6 };
    t.same(entries([tcp(0, options), tcp(1, options), tcp(2, options)]), [[0, 1, 2]]);
  }
});

t.test('Coalescer joins consecutive datagrams of a flow', async (t) => {
  for (const ipv6 of [false, true]) {
    const options = { ipv6 };
    t.same(entries([udp(0, options), udp(1, options), udp(2, options)]), [[0, 1, 2]]);
  }
});

t.test('IPv4 options prevent joining and close the flow', async (t) => {
  const ipOptions = hex('01010101');
  t.same(entries([tcp(0, { ipOptions }), tcp(1, { ipOptions })]), [[0], [1]]);
  t.same(entries([tcp(0), tcp(1, { ipOptions }), tcp(2)]), [[0], [1], [2]]);
  t.same(entries([udp(0), udp(1, { ipOptions }), udp(2)]), [[0], [1], [2]]);
});

t.test('an IPv6 extension header prevents joining and closes the flow', async (t) => {
  const [first, second] = [tcp(0, { ipv6: true }), tcp(1, { ipv6: true })];
  t.same(entries([withHopByHop(first, 0), withHopByHop(second, 0)]), [[0], [1]]);
  t.same(entries([first, withHopByHop(second, 0), tcp(2, { ipv6: true })]), [[0], [1], [2]]);
});

t.test('bytes behind the IP packet prevent joining', async (t) => {
  t.same(entries([tcp(0), concat(tcp(1), new Uint8Array(2)), tcp(2)]), [[0], [1], [2]]);
  t.same(entries([concat(udp(0), new Uint8Array(2)), udp(1)]), [[0], [1]]);
});

t.test('a datagram shorter than its IP packet (UDP options) does not join', async (t) => {
  // The last two bytes are surplus and hold what makes the checksum over the whole IP packet come out right too.
  const surplus = udp(1, {
    mutate: (frame) => viewOf(frame).setUint16(TCP4 + 4, 8 + SIZE - 2),
  });
  t.same(entries([udp(0), surplus, udp(2)]), [[0], [1], [2]]);
  t.same(entries([surplus, surplus]), [[0], [1]]);
});

t.test('a fragment closes every flow, so no packet overtakes it', async (t) => {
  const other = bytes([TCP4 + 1, 0x99]);
  for (const [at, value] of [
    [IP + 6, 0x20], // MF
    [IP + 7, 0x10], // an offset
  ] as const) {
    const fragment = udp(1, bytes([at, value]));
    t.same(entries([tcp(0), udp(0, other), fragment, tcp(1), udp(1, other)]), [[0], [1], [2], [3], [4]]);
  }
  const fragment6 = tcp(1, { ipv6: true, mutate: (frame) => viewOf(frame).setUint8(IP + 6, 44) });
  t.same(entries([tcp(0, { ipv6: true }), fragment6, tcp(1, { ipv6: true })]), [[0], [1], [2]]);
});

t.test('a frame that is not IP leaves unchanged and in order', async (t) => {
  const raw = rawFrame('02:00:00:00:00:0b', '02:00:00:00:00:0a');
  t.same(entries([raw, tcp(0), tcp(1), raw]), [[0], [1, 2], [3]]);
  t.equal(toHex(kit.packet(0)), toHex(raw));
});

t.test(
  'a TCP flag other than ACK, PSH and ECE closes the flow and leaves the segment unchanged',
  async (t) => {
    for (const flag of [SYN, FIN, RST, URG, CWR]) {
      const odd = tcp(1, { flags: ACK | flag });
      t.same(entries([tcp(0), odd, tcp(2), tcp(3)]), [[0], [1], [2, 3]], `flag ${flag}`);
      t.equal(toHex(kit.packet(1)), toHex(odd));
      t.equal(kit.batch.checksum[1], CHECKSUM_COMPLETE);
      t.same(entries([odd, tcp(2)]), [[0], [1]], 'and opens none');
      const empty = tcp(1, { flags: ACK | flag, payload: new Uint8Array(0) });
      t.same(entries([tcp(0), empty, tcp(1)]), [[0], [1], [2]], `flag ${flag} without payload`);
    }
  },
);

t.test('a segment without ACK does not join', async (t) => {
  t.same(entries([tcp(0), tcp(1, { flags: 0 }), tcp(2)]), [[0], [1], [2]]);
});

t.test('ECE may be set, in all segments or in none', async (t) => {
  const ece = { flags: ACK | ECE };
  t.same(entries([tcp(0, ece), tcp(1, ece)]), [[0, 1]]);
  t.same(entries([tcp(0), tcp(1, ece), tcp(2, ece)]), [[0], [1, 2]]);
});

t.test('a pure ACK leaves alone and closes no flow', async (t) => {
  const acknowledgment = tcp(1, { payload: new Uint8Array(0) });
  t.same(entries([tcp(0), acknowledgment, tcp(1), tcp(2)]), [[0, 2, 3], [1]]);
  t.equal(toHex(kit.packet(1)), toHex(acknowledgment));
  t.same(entries([acknowledgment, acknowledgment]), [[0], [1]], 'two do not join either');
});

t.test('an empty datagram leaves alone and closes its flow', async (t) => {
  t.same(entries([udp(0), udp(1, { payload: new Uint8Array(0) }), udp(2)]), [[0], [1], [2]]);
});

// Fields that must be equal.

const DIFFERENCES: [string, number[], number[]][] = [
  ['TTL or hop limit', [IP + 8, 0x3f], [IP + 7, 0x3f]],
  ['DSCP', [IP + 1, 0xb8], [IP, 0x6b]],
  ['ECN', [IP + 1, 0x01], [IP + 1, 0x11]],
  ['DF, or the traffic class', [IP + 6, 0x00], [IP + 1, 0x41]],
  ['the reserved bit, or the flow label', [IP + 6, 0xc0], [IP + 3, 0x46]],
  ['the source address', [IP + 15, 0x63], [IP + 23, 0x63]],
  ['the destination address', [IP + 19, 0x63], [IP + 39, 0x63]],
  ['the destination MAC address', [5, 0x63], [5, 0x63]],
  ['the source MAC address', [11, 0x63], [11, 0x63]],
  ['the source port', [TCP4 + 1, 0x63], [TCP6 + 1, 0x63]],
  ['the destination port', [TCP4 + 3, 0x63], [TCP6 + 3, 0x63]],
];
for (const [name, four, six] of DIFFERENCES) {
  t.test(`${name} must be equal`, async (t) => {
    for (const [ipv6, [at, value]] of [
      [false, four],
      [true, six],
    ] as [boolean, [number, number]][]) {
      for (const make of [tcp, udp]) {
        const other = { ipv6, ...bytes([at, value]) };
        t.same(entries([make(0, { ipv6 }), make(1, other)]), [[0], [1]], `${make.name}, IPv6 ${ipv6}`);
        t.same(
          entries([make(0, other), make(1, { ...other, identification: 4712 })]),
          [[0, 1]],
          'and may be anything',
        );
      }
    }
  });
}

const TCP_DIFFERENCES: [string, number, number][] = [
  ['the acknowledgment', 11, 0x99],
  ['the window', 15, 0x99],
  ['the urgent pointer', 19, 0x01],
  ['the reserved bits', 12, 0x51],
];
for (const [name, at, value] of TCP_DIFFERENCES) {
  t.test(`${name} must be equal`, async (t) => {
    for (const [ipv6, header] of [
      [false, TCP4],
      [true, TCP6],
    ] as const) {
      const other = bytes([header + at, value]);
      t.same(entries([tcp(0, { ipv6 }), tcp(1, { ipv6, ...other })]), [[0], [1]]);
      t.same(
        entries([tcp(0, { ipv6, ...other }), tcp(1, { ipv6, ...other })]),
        [[0, 1]],
        'and may be anything',
      );
    }
  });
}

t.test('the TCP header length must be equal', async (t) => {
  const tcpOptions = hex('01010101');
  t.same(entries([tcp(0), tcp(1, { tcpOptions })]), [[0], [1]]);
  t.same(entries([tcp(0, { tcpOptions }), tcp(1)]), [[0], [1]]);
});

t.test('every byte of the TCP options must be equal', async (t) => {
  const options = hex('0101080a 01020304 05060708');
  t.same(entries([tcp(0, { tcpOptions: options }), tcp(1, { tcpOptions: options })]), [[0, 1]]);
  for (let at = 0; at < options.length; at++) {
    const tcpOptions = options.slice();
    tcpOptions[at] = 0xee;
    t.same(entries([tcp(0, { tcpOptions: options }), tcp(1, { tcpOptions })]), [[0], [1]], `byte ${at}`);
  }
});

t.test('the VLAN tag must be equal', async (t) => {
  t.same(entries([tagged(tcp(0)), tagged(tcp(1))]), [[0, 1]]);
  t.same(entries([tagged(tcp(0)), tcp(1)]), [[0], [1]]);
  t.same(entries([tcp(0), tagged(tcp(1))]), [[0], [1]]);
  t.same(entries([tagged(tcp(0)), tagged(tcp(1), 0x2065)]), [[0], [1]]);
  t.same(entries([tagged(udp(0)), tagged(udp(1), 0x4064)]), [[0], [1]]);
});

t.test('IPv4 and IPv6, TCP and UDP are different flows', async (t) => {
  t.same(entries([tcp(0), tcp(0, { ipv6: true }), udp(0), udp(0, { ipv6: true })]), [[0], [1], [2], [3]]);
});

t.test('the identification must count up without DF, with wrap-around', async (t) => {
  const numbered = (index: number, identification: number): Uint8Array =>
    tcp(index, { identification, ...bytes([IP + 6, 0]) });
  t.same(entries([numbered(0, 0xfffe), numbered(1, 0xffff), numbered(2, 0)]), [[0, 1, 2]]);
  t.same(entries([numbered(0, 7), numbered(1, 7)]), [[0], [1]]);
  t.same(entries([numbered(0, 7), numbered(1, 9)]), [[0], [1]]);
  t.same(entries([numbered(0, 7), numbered(1, 6)]), [[0], [1]]);
});

t.test('the identification is ignored with DF', async (t) => {
  t.same(entries([tcp(0, { identification: 7 }), tcp(1, { identification: 3 })]), [[0, 1]]);
  t.same(entries([udp(0, { identification: 0 }), udp(1, { identification: 0 })]), [[0, 1]]);
});

// Sequence and size.

t.test('a gap in the sequence starts a new entry', async (t) => {
  t.same(entries([tcp(0), tcp(2), tcp(3)]), [[0], [1, 2]]);
});

t.test('a duplicate does not join', async (t) => {
  t.same(entries([tcp(0), tcp(0)]), [[0], [1]]);
  t.same(entries([tcp(0), tcp(1), tcp(1), tcp(2)]), [
    [0, 1],
    [2, 3],
  ]);
});

t.test('a retransmission does not join', async (t) => {
  t.same(entries([tcp(4), tcp(5), tcp(0), tcp(6)]), [[0, 1], [2], [3]]);
});

t.test('an overlap of one byte does not join', async (t) => {
  t.same(entries([tcp(0), tcp(1, { sequence: 5000 + SIZE - 1 })]), [[0], [1]]);
});

t.test('segments out of order leave in their order of arrival', async (t) => {
  t.same(entries([tcp(1), tcp(0), tcp(2)]), [[0], [1], [2]]);
});

t.test('the sequence number wraps around', async (t) => {
  const sequence = 0xffffffff - 499;
  t.same(entries([tcp(0, { sequence }), tcp(0, { sequence: 500 })]), [[0, 1]]);
});

t.test('a shorter segment is the last of its entry', async (t) => {
  const short = tcp(1, { payload: pattern(SIZE - 1) });
  t.same(entries([tcp(0), short, tcp(2, { sequence: 5000 + 2 * SIZE - 1 })]), [[0, 1], [2]]);
  t.same(entries([udp(0), udp(1, { payload: pattern(1) }), udp(2)]), [[0, 1], [2]]);
});

t.test('a larger segment never joins and starts an entry', async (t) => {
  const large = tcp(1, { payload: pattern(SIZE + 1) });
  t.same(entries([tcp(0), large, tcp(2, { sequence: 5001 + 2 * SIZE, payload: pattern(SIZE + 1) })]), [
    [0],
    [1, 2],
  ]);
  const datagram = udp(1, { payload: pattern(SIZE + 1) });
  t.same(entries([udp(0), datagram, datagram]), [[0], [1, 2]]);
});

t.test('PSH ends an entry and is kept', async (t) => {
  t.same(entries([tcp(0), tcp(1, { flags: ACK | PSH }), tcp(2)]), [[0, 1], [2]]);
  t.equal(superpacket([0, 1])[TCP4 + 13], ACK | PSH);
  t.same(entries([tcp(0, { flags: ACK | PSH }), tcp(1)]), [[0], [1]]);
  t.same(entries([tcp(0), tcp(1)]), [[0, 1]]);
  t.equal(superpacket([0, 1])[TCP4 + 13], ACK, 'and none is made');
});

t.test('an entry has at most 64 segments', async (t) => {
  const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
  for (const make of [
    (index: number) => tcp(0, { payload: pattern(100), sequence: index * 100 }),
    (index: number) => udp(index, { payload: pattern(100) }),
  ]) {
    t.same(entries(range(0, 130).map(make)), [range(0, 64), range(64, 128), range(128, 130)]);
  }
});

t.test('an entry has at most 65535 bytes from its IP header on', async (t) => {
  for (const [ipv6, make] of [
    [false, tcp],
    [true, tcp],
    [false, udp],
    [true, udp],
  ] as const) {
    const headers = (ipv6 ? 40 : 20) + (make === tcp ? 20 : 8);
    const size = 1990;
    const frames = Array.from({ length: 40 }, (_, index) =>
      make(0, { ipv6, payload: pattern(size), sequence: index * size }),
    );
    const [first, second] = entries(frames) as [number[], number[]];
    t.equal(first.length, Math.floor((65535 - headers) / size));
    t.equal(first.length + second.length, 40);
  }
});

// UDP.

t.test('a datagram without a checksum never joins', async (t) => {
  const bare = udp(1);
  viewOf(bare).setUint16(TCP4 + 6, 0);
  t.same(entries([udp(0), bare, udp(2)]), [[0], [1], [2]]);
  t.same(entries([bare, bare]), [[0], [1]]);
  t.equal(toHex(kit.packet(0)), toHex(bare));
});

t.test('no datagrams join without USO', async (t) => {
  t.same(entries([udp(0), udp(1)], withoutUdp), [[0], [1]]);
  t.same(entries([tcp(0), tcp(1)], withoutUdp), [[0, 1]]);
});

// Several flows.

t.test('interleaved flows are joined separately', async (t) => {
  const flow = (port: number): FrameOptions => bytes([TCP4 + 1, port]);
  const frames: Uint8Array[] = [];
  for (let index = 0; index < 3; index++) {
    for (const port of [1, 2, 3, 4]) frames.push(tcp(index, flow(port)));
    frames.push(udp(index), tcp(index, { ipv6: true }));
  }
  t.same(
    entries(frames),
    [0, 1, 2, 3, 4, 5].map((first) => [first, first + 6, first + 12]),
  );
});

t.test('entries leave in the order of their first packets', async (t) => {
  const other = bytes([TCP4 + 1, 0x99]);
  t.same(entries([tcp(0), udp(0), tcp(0, other), tcp(1), udp(1), tcp(5, other)]), [[0, 3], [1, 4], [2], [5]]);
});

t.test('the packets of a flow stay in order, however many flows there are', async (t) => {
  const flows = 300;
  const make = (flow: number, index: number): Uint8Array =>
    tcp(0, {
      payload: pattern(20),
      sequence: index * 20,
      ...bytes([TCP4, flow >> 8], [TCP4 + 1, flow & 255]),
    });
  const frames = [0, 1, 2].flatMap((index) => Array.from({ length: flows }, (_, flow) => make(flow, index)));
  const order = entries(frames).flat();
  t.equal(order.length, frames.length);
  for (let flow = 0; flow < flows; flow++) {
    const own = order.filter((packet) => packet % flows === flow);
    t.same(own, [flow, flow + flows, flow + 2 * flows]);
  }
});

t.test('an entry does not continue in the next burst', async (t) => {
  t.same(entries([tcp(0)]), [[0]]);
  t.same(entries([tcp(1), tcp(2)]), [[0, 1]]);
  t.same(entries([]), []);
});

// Checksums.

t.test('a wrong TCP or UDP checksum is never hidden in a superpacket', async (t) => {
  for (const ipv6 of [false, true]) {
    for (const make of [tcp, udp]) {
      const frame = make(1, { ipv6 });
      for (const at of [
        frame.length - 1,
        layoutOf(frame).payload,
        layoutOf(frame).checksum,
        layoutOf(frame).ip + 15,
      ]) {
        const broken = frame.slice();
        broken[at] = (broken[at] as number) ^ 0x40;
        if (!ipv6) viewOf(broken).setUint16(IP + 10, ipv4HeaderChecksum(broken));
        const result = entries([make(0, { ipv6 }), broken, make(2, { ipv6 })]);
        t.ok(
          result.some((entry) => entry.length === 1 && entry[0] === 1),
          `${make.name}, IPv6 ${ipv6}, byte ${at}`,
        );
        t.equal(toHex(kit.packet(1)), toHex(broken), 'it leaves as it came');
        t.equal(kit.batch.checksum[1], CHECKSUM_COMPLETE, 'for the kernel to see');
      }
    }
  }
});

t.test('a wrong IPv4 header checksum is never hidden in a superpacket', async (t) => {
  for (const make of [tcp, udp]) {
    const broken = make(1);
    broken[IP + 10] = (broken[IP + 10] as number) ^ 0x40;
    t.same(entries([make(0), broken, make(2)]), [[0], [1], [2]]);
    t.equal(toHex(kit.packet(1)), toHex(broken));
    t.same(entries([broken, make(2)]), [[0], [1]]);
  }
});

t.test('a packet with a partial checksum joins', async (t) => {
  for (const make of [tcp, udp]) {
    kit.fill([withPartialChecksum(make(0)), make(1), withPartialChecksum(make(2))]);
    kit.batch.checksum[0] = CHECKSUM_PARTIAL;
    kit.batch.checksum[2] = CHECKSUM_PARTIAL;
    withUdp.coalesce(kit.batch);
    t.equal(withUdp.count, 1);
    t.equal(withUdp.segments[0], 3);
  }
});

t.test('a superpacket of the peer leaves unchanged and closes its flow', async (t) => {
  kit.fill([tcp(0), tcp(1), tcp(2)]);
  kit.batch.gsoSize[1] = 500;
  withUdp.coalesce(kit.batch);
  t.equal(withUdp.count, 3);
  t.equal(kit.batch.gsoSize[1], 500);
});

// The superpacket.

for (const [kind, make, options] of [
  ['TCP over IPv4', tcp, {}],
  ['TCP over IPv6', tcp, { ipv6: true }],
  ['TCP with options', tcp, { tcpOptions: hex('0101080a 01020304 05060708') }],
  ['UDP over IPv4', udp, {}],
  ['UDP over IPv6', udp, { ipv6: true }],
] as [string, typeof tcp, FrameOptions][]) {
  t.test(`the superpacket of ${kind} has correct headers and a partial checksum`, async (t) => {
    const last = { ...options, payload: pattern(301, 9) };
    const frames = [make(0, options), make(1, options), make(2, last)];
    t.same(entries(frames), [[0, 1, 2]]);
    const whole = superpacket([0, 1, 2]);
    const { version, ip, transport, payload, end, checksum, protocol } = layoutOf(whole);
    const view = viewOf(whole);
    t.equal(end, whole.length, 'IP length');
    t.equal(end - payload, 2 * SIZE + 301);
    if (version === 4) t.equal(view.getUint16(ip + 10), ipv4HeaderChecksum(whole), 'IPv4 checksum');
    if (protocol === 17) t.equal(view.getUint16(transport + 4), end - transport, 'UDP length');
    t.equal(
      view.getUint16(checksum),
      slowSum(pseudoHeader(whole)),
      'the folded pseudo-header sum, not inverted',
    );
    t.equal(kit.batch.checksum[0], CHECKSUM_PARTIAL);
    t.equal(kit.batch.gsoSize[0], SIZE);
    // Everything else equals the first packet.
    t.equal(
      toHex(withChecksums(naiveSegments(whole, SIZE)[0] as Uint8Array)),
      toHex(frames[0] as Uint8Array),
    );
  });
}

t.test('a packet that no packet joined is unchanged', async (t) => {
  for (const frame of [tcp(0), udp(0), tcp(0, { ipv6: true }), tagged(tcp(0))]) {
    t.same(entries([frame]), [[0]]);
    t.equal(toHex(kit.packet(0)), toHex(frame));
    t.same([kit.batch.checksum[0], kit.batch.gsoSize[0]], [CHECKSUM_COMPLETE, 0]);
  }
});
