import t from 'tap';
import { COUNTER, COUNTER_NAMES, type CounterRow, sumCounters } from '../../../src/dataplane/counters.js';
import { COUNTER_ROW_SIZE } from '../../../src/dataplane/load.js';

t.test('COUNTER gives every name its own index', async (t) => {
  t.equal(new Set(COUNTER_NAMES).size, COUNTER_NAMES.length);
  for (const [index, name] of COUNTER_NAMES.entries()) t.equal(COUNTER[name], index, name);
});

t.test('COUNTER_NAMES begin with a direction, and drops contain _drop_', async (t) => {
  for (const name of COUNTER_NAMES) t.match(name, /^([rt]x_(drop_)?[a-z0-9_]+|offload_step_downs)$/);
});

t.test('COUNTER_ROW_SIZE is enough for a worker to count under every name', async (t) => {
  const row = new Float64Array(new SharedArrayBuffer(COUNTER_ROW_SIZE));
  for (const [index, name] of COUNTER_NAMES.entries()) row[COUNTER[name]] += index + 1;
  t.same(
    Object.values(sumCounters([row])),
    Array.from(COUNTER_NAMES.keys(), (index) => index + 1),
  );
});

t.test('sumCounters adds the rows of all workers, counter by counter', async (t) => {
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

t.test('sumCounters is exact beyond 32 bits', async (t) => {
  const row = new Float64Array(COUNTER_NAMES.length);
  row[COUNTER.rx_bytes] = 2 ** 52;
  row[COUNTER.rx_bytes]++;
  t.equal(sumCounters([row]).rx_bytes, 2 ** 52 + 1);
});

t.test('sumCounters returns zeros without workers', async (t) => {
  t.ok(Object.values(sumCounters([])).every((value) => value === 0));
});
