import t from 'tap';
import {
  COUNTER,
  COUNTER_NAMES,
  COUNTER_ROW_SIZE,
  type CounterRow,
  sumCounters,
} from '../../../src/dataplane/counters.js';

t.test('every name has an index of its own', async (t) => {
  t.equal(new Set(COUNTER_NAMES).size, COUNTER_NAMES.length);
  for (const [index, name] of COUNTER_NAMES.entries()) t.equal(COUNTER[name], index, name);
});

t.test('a name says the direction, and drops say so', async (t) => {
  for (const name of COUNTER_NAMES) t.match(name, /^([rt]x_(drop_)?[a-z0-9_]+|offload_step_downs)$/);
});

t.test('a row has room for every counter', async (t) => {
  t.equal(new Float64Array(new SharedArrayBuffer(COUNTER_ROW_SIZE)).length, COUNTER_NAMES.length);
});

t.test('the sum is over all workers, counter by counter', async (t) => {
  const rows: CounterRow[] = [1, 2, 3].map(() => new Float64Array(COUNTER_NAMES.length));
  for (const [worker, row] of rows.entries()) {
    row[COUNTER.tx_packets] = 10 ** worker;
    row[COUNTER.rx_drop_runt] = worker;
  }
  const sum = sumCounters(rows);
  t.equal(sum.tx_packets, 111);
  t.equal(sum.rx_drop_runt, 3);
  t.equal(sum.rx_packets, 0);
  t.same(Object.keys(sum), COUNTER_NAMES);
});

t.test('counts are exact beyond 32 bits', async (t) => {
  const row = new Float64Array(COUNTER_NAMES.length);
  row[COUNTER.rx_bytes] = 2 ** 52;
  row[COUNTER.rx_bytes]++;
  t.equal(sumCounters([row]).rx_bytes, 2 ** 52 + 1);
});

t.test('without workers every counter is zero', async (t) => {
  t.ok(Object.values(sumCounters([])).every((value) => value === 0));
});
