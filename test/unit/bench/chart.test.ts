import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parseBenchOptions } from '../../../bench/all/options.js';
import { panelsOf } from '../../../bench/chart/panels.js';
import { speedChart, THEMES } from '../../../bench/chart/svg.js';
import { terminalChart } from '../../../bench/chart/text.js';
import { FIGURES } from '../../../bench/netns/options.js';
import { type Recorded, type Result, readResult, writeResult } from '../../../bench/netns/result.js';
import { terminalReport } from '../../../bench/netns/terminal-report.js';

/** dist/test/unit/bench/chart.test.js → repository */
const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const PEERS = ['kernel', 'weft@bpf', 'weft@gso', 'weft@none'];

/** A result with every figure, of every peer but the last. */
const ALL: Result = {
  machine: { cpu: 'cpu', cores: 2, kernel: '6.18', node: '20.20.2', date: '2026-11-29T01:02:03Z' },
  summary: ['plain', 'virt'].flatMap((mode) =>
    FIGURES.flatMap((figure) =>
      figure.metrics.flatMap(({ key, title, unit }) =>
        PEERS.slice(0, 3).map((peer, index): Recorded => {
          const median = 8000 / (index + 1);
          return { mode, figure: figure.name, metric: key, title, unit, peer, median, rounds: 3 };
        }),
      ),
    ),
  ),
};

t.test('the charts in docs/images are those of the recorded result', async (t) => {
  const result = readResult(`${ROOT}bench/results/speed.json`);
  for (const theme of THEMES) {
    const drawn = readFileSync(`${ROOT}docs/images/speed-${theme}.svg`, 'utf8');
    t.ok(
      drawn === speedChart(result, theme),
      `npm run bench -- --chart-from bench/results/speed.json --docs`,
    );
  }
});

t.test('the chart has the values that the result has, with the ratio to the kernel', async (t) => {
  const svg = speedChart(ALL, 'light');
  t.match(svg, />4000 · 0\.50×</);
  t.match(svg, /Weft, level gso/);
  t.notMatch(svg, /level none/, 'a peer without values is left out');
  const some = panelsOf(ALL.summary.filter(({ figure }) => figure === 'small'));
  t.same(
    some.map(({ categories, bars }) => [categories, [...bars.keys()]]),
    [[['UDP'], PEERS.slice(0, 3)]],
  );
  t.same(panelsOf([]), []);
  t.match(speedChart({ ...ALL, summary: [] }, 'dark'), /^<svg /);
});

t.test('the chart and the table for the terminal fit on 80 columns', async (t) => {
  const summaries = ALL.summary.map((one) => ({ ...one, min: one.median, max: one.median }));
  const lines = [...terminalChart(ALL), ...terminalReport(summaries, ['plain', 'virt'], FIGURES, PEERS)];
  t.same(
    lines.filter((line) => [...line].length > 80),
    [],
  );
  t.match(lines.join('\n'), /TCP 1 stream, Gbit\/s ↑ +8000 +4000 0\.50× +2667 0\.33× +–\n/);
});

t.test('a result is read as it was written, and another file is refused with its name', async (t) => {
  const path = `${t.testdir({ 'other.json': '{}', 'broken.json': '{' })}`;
  writeResult(`${path}/result.json`, ALL);
  t.same(readResult(`${path}/result.json`), ALL);
  t.throws(() => readResult(`${path}/other.json`), /other\.json: not a result of npm run bench/);
  t.throws(() => readResult(`${path}/broken.json`), /broken\.json: /);
  t.throws(() => readResult(`${path}/none.json`), /none\.json/);
});

t.test('npm run bench: --quick chooses a few short figures, and other flags still win', async (t) => {
  const options = parseBenchOptions(['--quick', '--rounds', '2']);
  if (options === 'help') throw new Error('these flags ask for no help');
  const { rounds, seconds, figures, peers } = options.measure;
  t.same(
    { rounds, seconds, figures: figures.map((figure) => figure.name), peers: peers.map((one) => one.name) },
    { rounds: 2, seconds: 2, figures: ['tcp1', 'tcp4', 'small', 'latency'], peers: PEERS },
  );
  t.equal(parseBenchOptions(['--help']), 'help');
  t.throws(() => parseBenchOptions(['--rounds', '0']), /--rounds: '0' is not a whole number/);
  t.throws(() => parseBenchOptions(['--figures', 'x']), /--figures: 'x' is unknown/);
});
