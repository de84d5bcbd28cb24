/** The recorder of a thread and the reader of its ring. */

import t, { type Test } from 'tap';
import { type CaptureFilter, NOT_DROPPED, RING_SIZE } from '../../../../src/dataplane/capture/layout.js';
import { Recorder } from '../../../../src/dataplane/capture/recorder.js';
import {
  type CapturedPacket,
  createRing,
  RingReader,
} from '../../../../src/dataplane/capture/ring-reader.js';
import { COUNTER } from '../../../../src/dataplane/counters.js';
import { Ipv6Addresses } from '../../../../src/dataplane/tunnel/ipv6-addresses.js';
import { ipv6 } from '../../../support/bytes.js';
import { Kit } from '../../../support/kit.js';

const ALL: CaptureFilter = { inner: true, outer: true, drops: false, snaplen: 262_144, peer: null };
const PEER = 0x0a000002;
const HEADER = 8;

interface Rig {
  kit: Kit;
  recorder: Recorder;
  reader: RingReader;
  /** Publishes, and takes all packets. */
  taken(): CapturedPacket[];
}

function rig(_t: Test, filter: Partial<CaptureFilter> = {}, lowersTtl = false): Rig {
  const kit = new Kit(4, 70_000);
  const recorder = new Recorder({
    view: kit.arena.view,
    headerLength: HEADER,
    lowersTtl,
    maxInbound: 4,
    sourcePort: () => 5555,
  });
  const ring = createRing();
  recorder.begin(ring, { ...ALL, ...filter });
  const reader = new RingReader(ring);
  const taken = (): CapturedPacket[] => {
    recorder.publish();
    const packets: CapturedPacket[] = [];
    while (reader.peek() !== undefined) {
      const packet = reader.read();
      packets.push({ ...packet, bytes: Uint8Array.from(packet.bytes), peer: Uint8Array.from(packet.peer) });
      reader.release();
    }
    return packets;
  };
  return { kit, recorder, reader, taken };
}

function bytes(length: number, first = 0): Uint8Array {
  const all = new Uint8Array(length);
  for (let i = 0; i < length; i++) all[i] = first + i;
  return all;
}

t.test('outbound: the frame without the tunnel header, its peer and direction', async (t) => {
  const { kit, recorder, taken } = rig(t);
  kit.fill([bytes(HEADER + 61)], PEER);
  recorder.outbound(kit.batch);
  const [packet, ...others] = taken();
  t.strictSame(others, []);
  t.match(packet, { isOuter: false, isInbound: false, original: 61, reason: NOT_DROPPED, ttlLowered: false });
  t.strictSame(packet?.bytes, bytes(61, HEADER));
  t.strictSame(packet?.peer.subarray(0, 4), Uint8Array.of(10, 0, 0, 2));
  t.ok(Math.abs((packet?.time ?? 0) - Date.now()) < 60_000);
});

t.test('inbound: the datagram with its tunnel header and port, then the frame', async (t) => {
  const { kit, recorder, taken } = rig(t);
  kit.fill([bytes(HEADER + 60)], PEER);
  const { batch } = kit;
  batch.tos[0] = 0xb8;
  batch.offset[0] += HEADER;
  batch.length[0] -= HEADER;
  recorder.inbound(batch);
  const [outer, inner] = taken();
  t.match(outer, { isOuter: true, isInbound: true, port: 5555, tos: 0xb8, original: HEADER + 60 });
  t.strictSame(outer?.bytes, bytes(HEADER + 60));
  t.match(inner, { isOuter: false, isInbound: true, original: 60 });
  t.strictSame(inner?.bytes, bytes(60, HEADER));
});

t.test('a reply in the round of its request has a later time, and its two views the same one', async (t) => {
  const { kit, recorder, taken } = rig(t);
  kit.fill([bytes(HEADER + 60)], PEER);
  recorder.outbound(kit.batch);
  const before = performance.now();
  while (performance.now() === before);
  recorder.inbound(kit.batch);
  const [request, outer, inner] = taken().map(({ time }) => time);
  t.ok(outer > request);
  t.equal(inner, outer);
});

t.test('snaplen cuts the bytes and keeps the length', async (t) => {
  const { kit, recorder, taken } = rig(t, { snaplen: 10 });
  kit.fill([bytes(HEADER + 60)], PEER);
  recorder.outbound(kit.batch);
  const [packet] = taken();
  t.equal(packet?.original, 60);
  t.strictSame(packet?.bytes, bytes(10, HEADER));
});

t.test('a filter keeps one peer, one view, or drops', async (t) => {
  const other = rig(t, { peer: 7 });
  other.kit.fill([bytes(60)], PEER);
  other.recorder.outbound(other.kit.batch);
  other.recorder.dropFrame(other.kit.batch.offset[0], 60, COUNTER.tx_drop_unknown_mac);
  t.strictSame(other.taken(), [], 'a packet of another peer, and one without a peer');

  const outer = rig(t, { inner: false });
  outer.kit.fill([bytes(60)], PEER);
  outer.recorder.outbound(outer.kit.batch);
  outer.recorder.inbound(outer.kit.batch);
  t.strictSame(
    outer.taken().map(({ isOuter }) => isOuter),
    [true],
  );

  const drops = rig(t, { drops: true });
  drops.kit.fill([bytes(60)], PEER);
  drops.recorder.outbound(drops.kit.batch);
  drops.recorder.inbound(drops.kit.batch);
  drops.recorder.dropDatagram(drops.kit.batch.offset[0], 60, COUNTER.rx_drop_runt, PEER, 0);
  t.match(drops.taken(), [{ isOuter: true, reason: COUNTER.rx_drop_runt }]);
});

t.test('a frame that the device refuses appears once, with the reason', async (t) => {
  for (const drops of [false, true]) {
    const { kit, recorder, taken } = rig(t, { outer: false, drops });
    kit.fill([bytes(60), bytes(60)], PEER);
    recorder.inbound(kit.batch);
    recorder.refuseFrame(kit.batch.offset[1] + 20, COUNTER.rx_drop_device_full);
    recorder.refuseFrame(kit.batch.offset[1], COUNTER.rx_drop_device_full);
    const reasons = taken().map(({ reason }) => reason);
    t.strictSame(reasons, [...(drops ? [] : [NOT_DROPPED]), COUNTER.rx_drop_device_full]);
  }
});

t.test('nothing is visible before the end of the round', async (t) => {
  const { kit, recorder, reader } = rig(t);
  kit.fill([bytes(60)], PEER);
  recorder.outbound(kit.batch);
  t.equal(reader.peek(), undefined);
  recorder.publish();
  t.not(reader.peek(), undefined);
});

t.test('a full ring misses packets and counts them by view; what it has stays whole', async (t) => {
  const { kit, recorder, reader, taken } = rig(t);
  const length = 60_000;
  kit.fill([bytes(HEADER + length)], PEER);
  const sent = Math.ceil(RING_SIZE / length) + 10;
  for (let i = 0; i < sent; i++) recorder.outbound(kit.batch);
  const packets = taken();
  t.ok(
    packets.every(
      (packet) =>
        packet.bytes.length === length && packet.bytes[length - 1] === ((length - 1 + HEADER) & 0xff),
    ),
  );
  t.equal(reader.missed(false), sent - packets.length);
  t.ok(reader.missed(false) >= 10);
  t.equal(reader.missed(true), 0);
});

t.test('records of all lengths follow each other around the end of the ring', async (t) => {
  const { kit, recorder, taken } = rig(t);
  let total = 0;
  for (let length = 1; total < 2 * RING_SIZE; length = (length * 7 + 13) % 65_000) {
    kit.fill([bytes(HEADER + length, length)], PEER);
    recorder.outbound(kit.batch);
    const [packet] = taken();
    if (packet === undefined || !Buffer.from(packet.bytes).equals(bytes(length, length + HEADER))) {
      t.fail(`a packet of ${length} bytes after ${total}`);
      return;
    }
    total += length;
  }
  t.pass();
});

t.test('a worker that takes over a ring goes on behind the published records', async (t) => {
  const kit = new Kit(1);
  const options = { view: kit.arena.view, headerLength: 0, lowersTtl: true, maxInbound: 1 };
  const ring = createRing();
  const [first, second] = [new Recorder(options), new Recorder(options)];
  kit.fill([bytes(30)], PEER);
  first.begin(ring, ALL);
  first.outbound(kit.batch);
  first.publish();
  second.begin(ring, ALL);
  second.outbound(kit.batch);
  second.publish();
  const reader = new RingReader(ring);
  for (const _ of [1, 2]) {
    t.not(reader.peek(), undefined);
    t.match(reader.read(), { original: 30, ttlLowered: true });
    reader.release();
  }
  t.equal(reader.peek(), undefined);
});

t.test('over IPv6 a record has the address of the peer, and the filter compares it', async (t) => {
  const kit = new Kit(2);
  const ipv6Addresses = new Ipv6Addresses();
  const [a, b] = [ipv6Addresses.add(ipv6('fd00::1')), ipv6Addresses.add(ipv6('fd00::2'))];
  const options = { view: kit.arena.view, headerLength: 0, lowersTtl: false, maxInbound: 2, ipv6Addresses };
  const recorder = new Recorder(options);
  const ring = createRing();
  recorder.begin(ring, { ...ALL, outer: false, peer: ipv6('fd00::2') });
  kit.fill([bytes(30)], a);
  kit.add(bytes(31), b);
  recorder.outbound(kit.batch);
  recorder.publish();
  const reader = new RingReader(ring);
  reader.peek();
  const { original, peer } = reader.read();
  t.equal(original, 31);
  t.equal(Buffer.from(peer).toString('hex'), 'fd000000000000000000000000000002');
  reader.release();
  t.equal(reader.peek(), undefined);
});
