import t from 'tap';
import { MAX_HEADERS, Segmenter } from '../../../../src/dataplane/offload/segment.js';
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
import { checksumsVerify, naiveSegments, withPartialChecksum } from '../../../support/reference.js';

const FIN = 0x01;
const PSH = 0x08;
const ACK = 0x10;
const ECE = 0x40;
const CWR = 0x80;

const kit = new Kit(1, 65536);
const segmenter = new Segmenter(kit.arena, kit.checksum);
const headers = kit.arena.reserve(MAX_HEADERS);

/** Starts the segmenter on the packet in the batch. */
function begin(gsoSize: number): boolean {
  kit.locate(0);
  return segmenter.begin(kit.batch.offset[0], kit.batch.headers[0], gsoSize);
}

/** The segments as frames, each put together from the headers and the payload that the segmenter names. */
function segments(frame: Uint8Array, gsoSize: number): Uint8Array[] {
  kit.fill([frame]);
  const made: Uint8Array[] = [];
  if (!begin(gsoSize)) return made;
  for (let index = 0; index < segmenter.count; index++) {
    segmenter.write(index, headers);
    const { headersLength, payloadOffset, payloadLength } = segmenter;
    made.push(
      concat(
        kit.arena.bytes.slice(headers, headers + headersLength),
        kit.arena.bytes.slice(payloadOffset, payloadOffset + payloadLength),
      ),
    );
  }
  return made;
}

const KINDS: [string, FrameOptions][] = [
  ['IPv4', {}],
  ['IPv4 with options', { ipOptions: hex('8604000000000101') }],
  ['IPv4 with the longest header', { ipOptions: new Uint8Array(40).fill(1) }],
  ['TCP options', { tcpOptions: hex('0101080a 01020304 05060708') }],
  [
    'the longest headers there are',
    { ipOptions: new Uint8Array(40).fill(1), tcpOptions: new Uint8Array(40).fill(1) },
  ],
  ['IPv6', { ipv6: true }],
  ['IPv6 with TCP options', { ipv6: true, tcpOptions: hex('0101080a 01020304 05060708') }],
];

for (const [kind, options] of KINDS) {
  t.test(`Segmenter equals a naive segmenter for TCP, ${kind}`, async (t) => {
    for (const [payload, size] of [
      [4200, 1400],
      [4201, 1400],
      [4199, 1400],
      [1400, 1400],
      [1401, 1400],
      [1399, 1400],
      [3001, 999],
      [60_000, 1448],
      [5, 1],
      [7, 2],
    ] as const) {
      const frame = tcpFrame({ ...options, payload: pattern(payload), flags: ACK | PSH });
      const expected = naiveSegments(frame, size).map(toHex);
      t.equal(expected.length, Math.ceil(payload / size));
      t.same(segments(frame, size).map(toHex), expected, `${payload} B in ${size} B`);
    }
  });

  t.test(`Segmenter equals a naive segmenter for UDP, ${kind}`, async (t) => {
    for (const [payload, size] of [
      [4200, 1400],
      [4201, 1400],
      [1399, 1400],
      [60_000, 1472],
      [7, 2],
    ] as const) {
      const frame = udpFrame({ ...options, payload: pattern(payload) });
      const expected = naiveSegments(frame, size).map(toHex);
      t.equal(expected.length, Math.ceil(payload / size));
      t.same(segments(frame, size).map(toHex), expected, `${payload} B in ${size} B`);
    }
  });
}

t.test('Segmenter writes complete checksums for a superpacket with a partial one', async (t) => {
  for (const ipv6 of [false, true]) {
    const frame = withPartialChecksum(tcpFrame({ ipv6, payload: pattern(10_001) }));
    const made = segments(frame, 1300);
    t.equal(made.length, 8);
    t.ok(made.every(checksumsVerify));
  }
});

t.test('Segmenter sets FIN and PSH in the last segment, CWR in the first, other flags in all', async (t) => {
  const frame = tcpFrame({ payload: pattern(3000), flags: FIN | PSH | ACK | ECE | CWR });
  t.same(
    segments(frame, 1000).map((segment) => segment[14 + 20 + 13]),
    [ACK | ECE | CWR, ACK | ECE, ACK | ECE | FIN | PSH],
  );
});

t.test('Segmenter keeps all flags in a single segment', async (t) => {
  const frame = tcpFrame({ payload: pattern(3000), flags: FIN | PSH | ACK | CWR });
  t.same(
    segments(frame, 3000).map((segment) => segment[14 + 20 + 13]),
    [FIN | PSH | ACK | CWR],
  );
});

t.test('Segmenter counts sequence number and identification up, with wrap-around', async (t) => {
  const frame = tcpFrame({ payload: pattern(3000), sequence: 0xfffffc00, identification: 0xffff });
  const made = segments(frame, 1000).map(viewOf);
  t.same(
    made.map((view) => view.getUint32(14 + 20 + 4)),
    [0xfffffc00, 0xffffffe8, 0x3d0],
  );
  t.same(
    made.map((view) => view.getUint16(14 + 4)),
    [0xffff, 0, 1],
  );
});

t.test('Segmenter refers to the payload in place and does not copy it', async (t) => {
  const frame = tcpFrame({ payload: pattern(3000) });
  kit.fill([frame]);
  begin(1400);
  const payload = kit.batch.offset[0] + 54;
  const named: [number, number][] = [];
  for (let index = 0; index < segmenter.count; index++) {
    segmenter.write(index, headers);
    named.push([segmenter.payloadOffset, segmenter.payloadLength]);
  }
  t.same(named, [
    [payload, 1400],
    [payload + 1400, 1400],
    [payload + 2800, 200],
  ]);
  t.equal(toHex(kit.packet(0).slice(54)), toHex(frame.slice(54)), 'and it is as it was');
});

t.test('Segmenter accepts headers up to MAX_HEADERS and refuses longer ones', async (t) => {
  const longest = new Uint8Array(40).fill(1);
  for (const frame of [tcpFrame, udpFrame]) {
    const whole = tagged(frame({ ipOptions: longest, tcpOptions: longest, payload: pattern(100) }));
    kit.fill([whole]);
    t.ok(begin(60));
    t.ok(segmenter.headersLength <= MAX_HEADERS, `${segmenter.headersLength} B`);
  }
  const extended = withHopByHop(tcpFrame({ ipv6: true, payload: pattern(3000) }), 31);
  kit.fill([extended]);
  t.notOk(begin(1000), 'they would not fit');
});

t.test('Segmenter repeats a VLAN tag in every segment', async (t) => {
  for (const frame of [tcpFrame({ payload: pattern(3000) }), udpFrame({ payload: pattern(3000) })]) {
    t.same(
      segments(tagged(frame), 1400).map(toHex),
      naiveSegments(frame, 1400).map((segment) => toHex(tagged(segment))),
    );
  }
});

t.test('Segmenter ignores padding behind the IP packet', async (t) => {
  const frame = tcpFrame({ payload: pattern(2000) });
  t.same(segments(concat(frame, new Uint8Array(9)), 1400).map(toHex), naiveSegments(frame, 1400).map(toHex));
});

t.test('Segmenter refuses a packet that is neither TCP nor UDP', async (t) => {
  const frame = rawFrame('02:00:00:00:00:0b', '02:00:00:00:00:0a');
  kit.fill([frame]);
  t.equal(begin(1400), false);
});

t.test('Segmenter makes one segment of a packet without payload', async (t) => {
  const frame = tcpFrame({ payload: new Uint8Array(0) });
  t.same(segments(frame, 1400).map(toHex), [toHex(frame)]);
});

t.test('Segmenter writes a UDP checksum of 0 as ffff', async (t) => {
  const frame = udpFrame({ payload: new Uint8Array(4) });
  // The payload that makes the sum over everything ffff.
  const sum = viewOf(frame).getUint16(14 + 20 + 6);
  const first = udpFrame({ payload: Uint8Array.of(sum >> 8, sum & 255, 0, 0) });
  t.equal(viewOf(first).getUint16(14 + 20 + 6), 0xffff, 'the frame is such a one');
  t.same(segments(first, 1400).map(toHex), [toHex(first)]);
});

t.test('Segmenter writes segments in any order and repeatedly', async (t) => {
  const frame = tcpFrame({ payload: pattern(3000) });
  const expected = naiveSegments(frame, 1400).map((segment) => toHex(segment.slice(0, 54)));
  kit.fill([frame]);
  begin(1400);
  for (const index of [2, 0, 1, 0]) {
    segmenter.write(index, headers);
    t.equal(toHex(kit.arena.bytes.slice(headers, headers + 54)), expected[index]);
  }
});

t.test('Segmenter keeps nothing of an unfinished superpacket', async (t) => {
  const first = tcpFrame({ payload: pattern(5000) });
  kit.fill([first]);
  begin(1000);
  segmenter.write(0, headers);
  const second = tcpFrame({ ipv6: true, payload: pattern(2500, 9), flags: ACK | CWR });
  t.same(segments(second, 1000).map(toHex), naiveSegments(second, 1000).map(toHex));
});
