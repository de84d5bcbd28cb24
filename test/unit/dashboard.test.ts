import { readFileSync } from 'node:fs';
import t from 'tap';
import { queriesOf, readDashboard } from '../support/dashboard.js';

const dashboard = readDashboard();

t.test(
  'the dashboard imports without edits: it has no id, and a variable chooses the data source',
  async (t) => {
    t.equal(dashboard.id, null);
    t.ok(dashboard.schemaVersion >= 39);
    const variables = dashboard.templating.list.map(({ name, type }) => `${name} ${type}`);
    t.same(variables, ['datasource datasource', 'instance query']);
    const sources = dashboard.panels.flatMap(({ datasource, targets = [] }) => [
      ...(datasource === undefined ? [] : [datasource]),
      ...targets.map((target) => target.datasource),
    ]);
    t.ok(sources.length > 40);
    t.ok(sources.every(({ type, uid }) => type === 'prometheus' && uid === ['$', '{datasource}'].join('')));
  },
);

t.test(
  'the panels have different numbers, a title, a description and places that do not overlap',
  async (t) => {
    const { panels } = dashboard;
    t.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    const taken = new Set<string>();
    for (const { type, title, description, gridPos } of panels) {
      t.ok(title.length > 0 && (type === 'row' || (description ?? '').length > 0), title);
      t.ok(gridPos.x + gridPos.w <= 24, `${title} is as wide as the page at most`);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          t.notOk(taken.has(`${x} ${y}`), `${title} is alone at ${x}, ${y}`);
          taken.add(`${x} ${y}`);
        }
      }
    }
  },
);

t.test(
  'the queries of a panel have different names, and use no variable that Grafana does not know',
  async (t) => {
    const known = new Set([
      ...dashboard.templating.list.map(({ name }) => name),
      '__rate_interval',
      '__range',
    ]);
    for (const { title, panels = [], targets = [] } of dashboard.panels) {
      t.same(panels, [], `${title} hides no panel from these tests`);
      t.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title);
      for (const { expr } of targets)
        t.same(
          [...expr.matchAll(/\$\{?(\w+)/g)].filter(([, name]) => !known.has(name ?? '')),
          [],
          expr,
        );
    }
  },
);

t.test('each runbook of an alert names sections that exist', async (t) => {
  const root = new URL('../../../', import.meta.url);
  const rules = readFileSync(new URL('deploy/prometheus-rules.yaml', root), 'utf8').replace(/\s+/g, ' ');
  const places = [...rules.matchAll(/(docs\/[\w-]+\.md), "([^"]+)"/g)];
  t.ok(places.length >= 8);
  for (const [, page = '', section = ''] of places)
    t.ok(readFileSync(new URL(page, root), 'utf8').includes(`# ${section}\n`), `${page}, ${section}`);
});

t.test('each query is about the chosen nodes', async (t) => {
  for (const query of queriesOf(dashboard)) t.match(query, /instance=~"\$instance"/, query);
});
