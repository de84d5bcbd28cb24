import t from 'tap';
import { Arena } from '../../../../src/dataplane/memory/arena.js';
import {
  CHECKSUM_COMPLETE,
  CHECKSUM_PARTIAL,
  HEADROOM,
  PacketBatch,
} from '../../../../src/dataplane/memory/batch.js';

t.test('every slot has its headroom before it and its size after it, apart from all others', async (t) => {
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

t.test('footprint is what a batch takes of the arena', async (t) => {
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

t.test('the headroom holds the largest tunnel header: Ethernet, IPv6, UDP, VXLAN', async (t) => {
  t.ok(HEADROOM >= 14 + 40 + 8 + 8);
});

t.test('put describes a single packet, complete, to nowhere', async (t) => {
  const batch = new PacketBatch(new Arena(PacketBatch.footprint(2, 64)), 2, 64);
  batch.address[1] = 1;
  batch.gsoSize[1] = 1;
  batch.checksum[1] = CHECKSUM_PARTIAL;
  batch.set(1, 300, 60);
  t.same(
    [batch.offset[1], batch.length[1], batch.address[1], batch.gsoSize[1], batch.checksum[1]],
    [300, 60, 0, 0, CHECKSUM_COMPLETE],
  );
  t.equal(batch.count, 0, 'whoever fills the batch counts');
});

t.test('move takes all that is known of a packet along', async (t) => {
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

t.test('clear empties the batch and keeps the slots', async (t) => {
  const batch = new PacketBatch(new Arena(PacketBatch.footprint(3, 64)), 3, 64);
  const slot = batch.slot(2);
  batch.count = 3;
  batch.clear();
  t.equal(batch.count, 0);
  t.equal(batch.slot(2), slot);
});
