import t from 'tap';
import { Arena } from '../../../../src/dataplane/memory/arena.js';
import {
  CHECKSUM_COMPLETE,
  CHECKSUM_PARTIAL,
  HEADROOM,
  PacketBatch,
} from '../../../../src/dataplane/memory/batch.js';
import { ETHERNET_LENGTH } from '../../../../src/dataplane/wire/ethernet.js';
import { concat, viewOf } from '../../../support/bytes.js';
import { MAC_A, MAC_B, rawFrame, tcpFrame, udpFrame } from '../../../support/frames.js';
import { Kit } from '../../../support/kit.js';

t.test('every slot has headroom before it and its size after it, and overlaps no other slot', async (t) => {
  for (const slotSize of [64, 1472, 1500, 65536]) {
    const arena = new Arena(PacketBatch.footprint(5, slotSize));
    const batch = new PacketBatch(arena, 5, slotSize);
    let end = 0;
    for (let i = 0; i < batch.capacity; i++) {
      t.ok(batch.slot(i) - HEADROOM >= end, `slot ${i} of ${slotSize} B begins behind the one before`);
      end = batch.slot(i) + slotSize;
    }
    t.ok(end <= arena.bytes.length);
  }
});

t.test('footprint is what a batch reserves of the arena', async (t) => {
  const arena = new Arena(1 << 20);
  new PacketBatch(arena, 7, 1500);
  t.equal(arena.reserve(1), PacketBatch.footprint(7, 1500));
});

t.test('slots begin on cache lines that fall into different sets', async (t) => {
  const batch = new PacketBatch(new Arena(PacketBatch.footprint(64, 65536)), 64, 65536);
  const slots = Array.from({ length: 64 }, (_, index) => batch.slot(index));
  t.ok(slots.every((slot) => slot % 64 === 0));
  // A level-1 cache has 64 sets of 64-byte lines.
  t.equal(new Set(slots.map((slot) => (slot / 64) % 64)).size, 64);
});

t.test('HEADROOM has room for the largest tunnel header: Ethernet, IPv6, UDP, VXLAN', async (t) => {
  t.ok(HEADROOM >= 14 + 40 + 8 + 8);
});

t.test('set makes a single packet with a complete checksum and without a peer', async (t) => {
  const batch = new PacketBatch(new Arena(PacketBatch.footprint(2, 64)), 2, 64);
  batch.address[1] = 1;
  batch.gsoSize[1] = 1;
  batch.checksum[1] = CHECKSUM_PARTIAL;
  batch.set(1, 300, 60);
  t.same(
    [batch.offset[1], batch.length[1], batch.address[1], batch.gsoSize[1], batch.checksum[1]],
    [300, 60, 0, 0, CHECKSUM_COMPLETE],
  );
  t.equal(batch.count, 0, 'the port that fills the batch sets count');
});

t.test('move keeps everything known of a packet', async (t) => {
  const batch = new PacketBatch(new Arena(PacketBatch.footprint(3, 64)), 3, 64);
  batch.set(2, 300, 60);
  batch.address[2] = -5;
  batch.gsoSize[2] = 1400;
  batch.checksum[2] = CHECKSUM_PARTIAL;
  batch.move(2, 0);
  t.same(
    [batch.offset[0], batch.length[0], batch.address[0], batch.gsoSize[0], batch.checksum[0]],
    [300, 60, -5, 1400, CHECKSUM_PARTIAL],
  );
});

t.test('locate parses a packet once, with or without a tunnel header in front', async (t) => {
  const kit = new Kit(2);
  kit.fill([concat(new Uint8Array(8), tcpFrame({ ipv6: true })), rawFrame(MAC_B, MAC_A)]);
  t.equal(kit.batch.locate(0, 8, ETHERNET_LENGTH), true);
  t.match(kit.batch.headers[0], { isIpv6: true, transport: 54 });
  kit.arena.bytes.fill(0, kit.batch.offset[0], kit.batch.offset[0] + kit.batch.length[0]);
  kit.batch.offset[0] += 8;
  kit.batch.length[0] -= 8;
  t.equal(kit.batch.locate(0, 0, ETHERNET_LENGTH), true, 'the header is zero now');
  kit.batch.forgetHeaders(0);
  t.equal(kit.batch.locate(0, 0, ETHERNET_LENGTH), false);
  t.equal(kit.batch.locate(1, 0, ETHERNET_LENGTH), false);
  kit.arena.bytes.set(tcpFrame(), kit.batch.offset[1]);
  t.equal(kit.batch.locate(1, 0, ETHERNET_LENGTH), false, 'a negative result holds too');
});

t.test('locateIp finds the IP header only, and locate continues from there', async (t) => {
  const kit = new Kit(2);
  kit.fill([udpFrame(), udpFrame({ mutate: (frame) => viewOf(frame).setUint8(23, 1) })]);
  for (const [index, isUdp] of [true, false].entries()) {
    t.equal(kit.batch.locateIp(index, 0, ETHERNET_LENGTH), true);
    t.match(kit.batch.headers[index], { ip: 14, transport: 0 });
    t.equal(kit.batch.locate(index, 0, ETHERNET_LENGTH), isUdp);
    t.equal(kit.batch.locateIp(index, 0, ETHERNET_LENGTH), true);
    t.match(kit.batch.headers[index], { ip: 14, transport: isUdp ? 34 : 0 });
  }
});

t.test('set forgets the headers of the packet before, move keeps them', async (t) => {
  const kit = new Kit(2);
  kit.fill([tcpFrame({ ipv6: true }), udpFrame()]);
  t.ok(kit.locate(0) && kit.locate(1));
  kit.batch.move(1, 0);
  t.equal(kit.locate(0), true);
  t.match(kit.batch.headers[0], { isIpv6: false, protocol: 17 });
  kit.fill([udpFrame({ ipv6: true }), tcpFrame()]);
  t.ok(kit.locate(0) && kit.locate(1));
  t.match(kit.batch.headers.slice(0, 2), [
    { isIpv6: true, protocol: 17 },
    { isIpv6: false, protocol: 6 },
  ]);
});

t.test('clear empties the batch and keeps the slots', async (t) => {
  const batch = new PacketBatch(new Arena(PacketBatch.footprint(3, 64)), 3, 64);
  const slot = batch.slot(2);
  batch.count = 3;
  batch.clear();
  t.equal(batch.count, 0);
  t.equal(batch.slot(2), slot);
});
