/** /metrics of a running Weft, as Prometheus reads it; the dashboard and the alerts on its data. */

import { readFile } from 'node:fs/promises';
import { load } from 'js-yaml';
import t from 'tap';
import { exec } from '../../../lab/exec.js';
import { until } from '../../../lab/until.js';
import { DIST } from '../../../lab/world.js';
import { queriesOf, readDashboard } from '../../support/dashboard.js';
import { atLevel, makeBed, startWeft } from '../support/bed.js';
import { answered } from '../support/pings.js';
import { DEPLOY, startPrometheus } from '../support/prometheus.js';
import { scrapePage, valueIn } from '../support/scrape.js';

const PORT = '8081';
const RULES = `${DEPLOY}prometheus-rules.yaml`;

/** Returns a query as Grafana sends it. `instance`: all nodes, or those that the user has chosen. */
function replaced(query: string, instance: string): string {
  return query.replaceAll('$__rate_interval', '5s').replaceAll('$instance', instance);
}

/** Returns what the alerts compare: a condition has no data while the node is healthy, but both its sides have. */
async function comparedByAlerts(): Promise<string[]> {
  const { groups } = load(await readFile(RULES, 'utf8')) as { groups: { rules: { expr: string }[] }[] };
  const sides = groups.flatMap(({ rules }) => rules.flatMap(({ expr }) => expr.split(/\band\b/)));
  return sides.map((side) => side.trim().replace(/\s*[=<>]=?\s*[\d.]+$/, ''));
}

t.test('promtool accepts the alerts, and they fire as their tests state', async (t) => {
  await exec(['promtool', 'check', 'rules', RULES]);
  const { stdout } = await exec([
    'promtool',
    'test',
    'rules',
    `${DIST}../test/fixtures/prometheus-rules-test.yaml`,
  ]);
  t.match(stdout, /SUCCESS/);
});

t.test('/metrics of a Weft that forwards:', async (t) => {
  const lab = await makeBed(t, { name: 'metrics' });
  const [node, other] = [lab.node(1), lab.node(2)];
  const flags = ['--healthz-port', PORT];
  // The threads of the second node carry its packets: only they have batches.
  await Promise.all([startWeft(t, node, { flags }), startWeft(t, other, atLevel('gso', ...flags))]);

  await t.test('promtool check metrics finds no fault', async () => {
    const page = await scrapePage(node, PORT);
    await exec(['sh', '-c', `promtool check metrics < ${page}`]);
  });

  await t.test('the page counts packets, per peer and in total', async (t) => {
    await answered(t, lab.pod(1), lab.pod(2).address, 'pods reach each other', { count: 10 });
    let text = '';
    const value = (series: string): number => valueIn(text, series);
    // A page is served again for half a second.
    await until('a page with the packets', async () => {
      text = await readFile(await scrapePage(node, PORT), 'utf8');
      return value('weft_packets_total{device="flannel.1",direction="rx"}') >= 10;
    });
    t.equal(value('weft_ready'), 1);
    for (const direction of ['tx', 'rx']) {
      const device = 'device="flannel.1"';
      t.ok(value(`weft_packets_total{${device},direction="${direction}"}`) >= 10, direction);
      const peer = `${device},peer="${other.address}",direction="${direction}"`;
      t.ok(value(`weft_peer_packets_total{${peer}}`) >= 10, `${direction} of the peer`);
      t.ok(value(`weft_peer_bytes_total{${peer}}`) >= 840, `${direction} of the peer, bytes`);
    }
    t.equal(value('weft_peers{device="flannel.1"}'), 1);
    t.equal(value('weft_fdb_entries{device="flannel.1"}'), 1);
    t.equal(value('weft_dropped_packets_total{device="flannel.1",direction="rx",reason="unknown_vtep"}'), 0);
  });

  await t.test('the queries of dashboard and alerts return data in Prometheus', async (t) => {
    const pinging = node.startInPod(lab.pod(1), ['ping', '-q', '-i', '0.05', lab.pod(2).address]);
    t.teardown(() => pinging.stop());
    const targets = [`127.0.0.1:${PORT}`, `${other.address}:${PORT}`];
    const prometheus = await startPrometheus(t, node, targets);
    const compared = await comparedByAlerts();
    t.ok(compared.length >= 10 && compared.every((side) => !/[<>]|==/.test(side)));
    const queries = queriesOf(readDashboard());
    // Grafana escapes the dots, and the backslashes for PromQL.
    const chosen = `(${targets.map((target) => target.replaceAll('.', '\\\\.')).join('|')})`;
    const ofDashboard = ['.*', chosen].flatMap((nodes) => queries.map((query) => replaced(query, nodes)));
    const answers = await prometheus.ask([...ofDashboard, ...compared]);
    t.equal(answers.length, 2 * queries.length + compared.length);
    t.same(
      answers.filter(({ series }) => series === 0),
      [],
    );
    // Grafana offers these nodes for the variable: label_values(metric, label).
    const { query } = readDashboard().templating.list.find(({ name }) => name === 'instance') ?? {};
    const { query: values = '' } = query as { query?: string };
    const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec(values) ?? [];
    t.match(await prometheus.ask([`count by (${label}) (${metric})`]), [{ series: 2 }]);
    const alerts = await prometheus.alerts();
    t.ok(Object.keys(alerts).length >= 9);
    t.ok(
      Object.values(alerts).every((health) => health === 'ok'),
      JSON.stringify(alerts),
    );
  });
});
