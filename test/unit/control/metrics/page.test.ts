import t from 'tap';
import { addCounters } from '../../../../src/control/metrics/counter-metrics.js';
import { MetricsPage } from '../../../../src/control/metrics/page.js';
import { checkOf } from '../../../../src/control/obstacles/obstacle.js';
import { ALL_COUNTERS, DROP_COUNTERS } from '../../../support/counters.js';

t.test('MetricsPage writes Prometheus text, and escapes label values', async (t) => {
  const page = new MetricsPage();
  page.gauge('weft_ready', 'Whether.', [[{}, 1]]);
  page.counter('weft_x_total', 'Xs.', [
    [{ source: 'a"b\\c\nd' }, 3],
    [{ source: 'e' }, 2 ** 52 + 1],
  ]);
  t.equal(
    await page.text(),
    `# HELP weft_ready Whether.
# TYPE weft_ready gauge
weft_ready 1

# HELP weft_x_total Xs.
# TYPE weft_x_total counter
weft_x_total{source="a\\"b\\\\c\\nd"} 3
weft_x_total{source="e"} 4503599627370497
`,
  );
});

t.test('a metric without samples is left out', async (t) => {
  const page = new MetricsPage();
  page.counter('weft_peer_bytes_total', 'Bytes.', []);
  page.gauge('weft_peers', 'Peers.', []);
  t.notMatch(await page.text(), /weft/);
});

t.test('MetricsPage writes cumulative buckets', async (t) => {
  const page = new MetricsPage();
  page.histogram('weft_batch_packets', 'Sizes.', [
    { labels: { direction: 'tx' }, buckets: [3, 0, 2], sum: 11 },
  ]);
  t.same((await page.text()).split('\n').slice(1, -1), [
    '# TYPE weft_batch_packets histogram',
    'weft_batch_packets_bucket{direction="tx",le="1"} 3',
    'weft_batch_packets_bucket{direction="tx",le="2"} 3',
    'weft_batch_packets_bucket{direction="tx",le="4"} 5',
    'weft_batch_packets_bucket{direction="tx",le="+Inf"} 5',
    'weft_batch_packets_sum{direction="tx"} 11',
    'weft_batch_packets_count{direction="tx"} 5',
  ]);
});

t.test('every counter of the dataplane is in exactly one metric', async (t) => {
  const page = new MetricsPage();
  const counters = Object.fromEntries(ALL_COUNTERS.map((name, index) => [name, 1000 + index]));
  addCounters(page, [{ device: 'flannel.1', counters }]);
  const values = (await page.text()).split('\n').flatMap((line) => line.match(/^weft_.* (\d+)$/)?.[1] ?? []);
  t.same(
    values.sort(),
    ALL_COUNTERS.map((name) => String(counters[name])),
  );
});

t.test('each drop counter is a reason of weft_dropped_packets_total', async (t) => {
  const page = new MetricsPage();
  const counters = Object.fromEntries(DROP_COUNTERS.map((name, index) => [name, index]));
  addCounters(page, [{ device: 'flannel.1', counters }]);
  const text = await page.text();
  for (const name of DROP_COUNTERS) {
    const [direction, reason] = [name.slice(0, 2), name.slice('tx_drop_'.length)];
    const labels = `device="flannel.1",direction="${direction}",reason="${reason}"`;
    t.ok(text.includes(`\nweft_dropped_packets_total{${labels}} ${counters[name]}\n`), name);
  }
});

t.test('an obstacle counts under its check, an unknown one under other', async (t) => {
  t.equal(checkOf({ key: 'silent peer 10.0.0.1' }), 'silent peer');
  t.equal(checkOf({ key: 'silent peers' }), 'silent peer');
  t.equal(checkOf({ key: 'firewall forward ipv4 FORWARD' }), 'firewall forward');
  t.equal(checkOf({ key: 'forwarding net/ipv4/ip_forward' }), 'forwarding');
  t.equal(checkOf({ key: 'new check' }), 'other');
});
