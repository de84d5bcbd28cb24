import t from 'tap';
import { Metrics } from '../../../../src/control/metrics/metrics.js';

t.test('Metrics has readiness, version and process before the devices exist', async (t) => {
  let reason: string | null = 'starting';
  const metrics = new Metrics({ notReady: () => reason, service: () => undefined, mostPeers: 10 });
  const first = (await metrics.page()).toString();
  t.match(first, /^weft_ready 0$/m);
  t.match(first, /^weft_build_info\{version="\d+\.\d+\.\d+",node="\d+\.\d+\.\d+",backend=""\} 1$/m);
  for (const name of [
    'process_start_time_seconds',
    'process_cpu_seconds_total',
    'process_resident_memory_bytes',
  ])
    t.match(first, new RegExp(`^${name} \\d+`, 'm'));
  reason = null;
  const later = new Metrics({ notReady: () => reason, service: () => undefined, mostPeers: 10 });
  t.match((await later.page()).toString(), /^weft_ready 1$/m);
});

t.test('concurrent scrapes share one page, and a later one soon after gets it too', async (t) => {
  let asked = 0;
  const notReady = (): null => {
    asked++;
    return null;
  };
  const metrics = new Metrics({ notReady, service: () => undefined, mostPeers: 10 });
  const [one, two] = await Promise.all([metrics.page(), metrics.page()]);
  t.equal(one, two);
  t.equal(asked, 1);
});

t.test('a scrape that failed is not served again', async (t) => {
  let broken = true;
  const notReady = (): null => {
    if (broken) throw new Error('broken');
    return null;
  };
  const metrics = new Metrics({ notReady, service: () => undefined, mostPeers: 10 });
  await t.rejects(metrics.page(), { message: 'broken' });
  broken = false;
  t.match((await metrics.page()).toString(), /^weft_ready 1$/m);
});
