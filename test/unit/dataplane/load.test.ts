import t from 'tap';
import { COUNTER, COUNTER_NAMES } from '../../../src/dataplane/counters.js';
import {
  BATCH_BUCKETS,
  COUNTER_ROW_SIZE,
  countBatch,
  loadOf,
  privateRow,
  RX_BATCHES,
  TX_BATCHES,
} from '../../../src/dataplane/load.js';
import { BusyClock } from '../../../src/dataplane/worker/busy-clock.js';
import { Idle } from '../../../src/dataplane/worker/idle.js';
import { Kit } from '../../support/kit.js';

t.test('countBatch counts each size in the smallest bucket that has room for it', async (t) => {
  const row = privateRow();
  const sizes = [1, 2, 3, 4, 5, 64, 65, 2048];
  for (const size of sizes) countBatch(row, TX_BATCHES, size);
  const { tx, rx } = loadOf(row);
  t.same(tx.buckets, [1, 1, 2, 1, 0, 0, 1, 1, 0, 0, 0, 1]);
  t.equal(
    tx.packets,
    sizes.reduce((sum, size) => sum + size),
  );
  t.same(rx, { buckets: Array(BATCH_BUCKETS).fill(0), packets: 0 });
});

t.test('the load changes no counter, and both directions have places of their own', async (t) => {
  const row = privateRow();
  t.equal(row.byteLength, COUNTER_ROW_SIZE);
  for (let size = 1; size <= 2048; size *= 2) {
    countBatch(row, TX_BATCHES, size);
    countBatch(row, RX_BATCHES, size);
  }
  for (const name of COUNTER_NAMES) t.equal(row[COUNTER[name]], 0, name);
  const { busySeconds, tx, rx } = loadOf(row);
  t.equal(busySeconds, 0);
  t.same(tx, { buckets: Array(BATCH_BUCKETS).fill(1), packets: 4095 });
  t.same(rx, tx);
});

/** A clock that tests set, in seconds. */
function clockRig() {
  const { arena } = new Kit(1);
  const row = privateRow();
  const time = { now: 100 };
  const clock = new BusyClock(arena, row, (_, timespec) => {
    const at = Number(timespec) - arena.base;
    arena.view.setBigInt64(at, BigInt(Math.floor(time.now)), true);
    arena.view.setBigInt64(at + 8, BigInt(Math.round((time.now % 1) * 1e9)), true);
    return 0;
  });
  return { clock, time, busy: () => loadOf(row).busySeconds };
}

t.test('BusyClock counts the time up to mark, and not the time up to skip', async (t) => {
  const { clock, time, busy } = clockRig();
  time.now = 102.5;
  clock.mark();
  t.equal(busy(), 2.5);
  time.now = 110;
  clock.skip();
  t.equal(busy(), 2.5);
  time.now = 110.25;
  clock.mark();
  t.equal(busy(), 2.75);
});

t.test('Idle counts a worker with packets as busy, and one that waits as not', async (t) => {
  const row = privateRow();
  const idle = new Idle(new Kit(1).arena, [-1], 0, () => 0, row);
  const busy = (): number => loadOf(row).busySeconds;
  idle.mark();
  t.equal(busy(), 0, 'no packet yet');
  idle.reset();
  idle.mark();
  const once = busy();
  t.ok(once > 0, 'a worker that never waits is counted once a second');
  idle.wait();
  const twice = busy();
  t.ok(twice > once, 'up to the wait');
  idle.wait();
  idle.mark();
  t.equal(busy(), twice, 'not while it waits');
});
