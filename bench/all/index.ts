/** `npm run bench`: every figure on both links, for the kernel and each offload level, with a table and charts. */

import { loadavg } from 'node:os';
import { panelsOf } from '../chart/panels.js';
import { speedChart, THEMES } from '../chart/svg.js';
import { terminalChart } from '../chart/text.js';
import { describeMachine } from '../netns/machine.js';
import { measureAll, nameOf, presentPeers } from '../netns/measure.js';
import { markdownReport, summarize } from '../netns/report.js';
import { type Result, readResult, write, writeResult } from '../netns/result.js';
import { terminalReport } from '../netns/terminal-report.js';
import { type BenchOptions, parseBenchOptions, RECORDED, USAGE } from './options.js';

/** Measures, and writes samples and table to the chosen folder. */
async function measured({
  measure,
}: BenchOptions): Promise<[result: Result, paths: string[], failed: number]> {
  const machine = await describeMachine();
  const [load = 0] = loadavg();
  if (load > machine.cores / 2)
    console.error(
      `this machine is busy (load ${load.toFixed(1)} on ${machine.cores} cores): repeat the run when it is idle`,
    );
  const peers = await presentPeers(measure.peers);
  const names = peers.map((peer) => peer.name);
  const { modes, figures, out } = measure;
  const paths = ['result.json', 'samples.json', 'table.md'].map((name) => `${out}/${name}`);
  const [resultPath = '', samplesPath = '', tablePath = ''] = paths;
  const [samples, failures] = await measureAll(measure, peers, (samples, failures) => {
    writeResult(resultPath, { machine, summary: summarize(samples, modes, figures, names) });
    write(samplesPath, `${JSON.stringify({ samples, failures }, null, 1)}\n`);
  });
  const summary = summarize(samples, modes, figures, names);
  const result = { machine, summary };
  write(tablePath, markdownReport(machine, summary, modes, figures, names));
  console.log(`\n${terminalReport(summary, modes, figures, names).join('\n')}`);
  for (const one of failures) console.error(`failed: ${nameOf(one)}`);
  return [result, paths, failures.length];
}

/** Writes the light and the dark chart to a folder, and returns their paths; none without a figure of the chart. */
function writeCharts(folder: string, result: Result): string[] {
  if (panelsOf(result.summary).length === 0) return [];
  return THEMES.map((theme) => {
    const path = `${folder}/speed-${theme}.svg`;
    write(path, speedChart(result, theme));
    return path;
  });
}

async function main(argv: readonly string[]): Promise<number> {
  const options = parseBenchOptions(argv);
  if (options === 'help') {
    console.log(USAGE);
    return 0;
  }
  const { chartFrom, docs, measure } = options;
  const [result, paths, failed] =
    chartFrom === undefined ? await measured(options) : [readResult(chartFrom), [], 0];
  paths.push(...writeCharts(measure.out, result));
  if (docs) {
    if (chartFrom !== RECORDED) {
      writeResult(RECORDED, result);
      paths.push(RECORDED);
    }
    paths.push(...writeCharts('docs/images', result));
  }
  for (const line of ['', ...terminalChart(result)]) console.log(line);
  console.log(`wrote ${paths.join('\n      ')}`);
  return failed === 0 ? 0 : 1;
}

// A closed pipe ends this process, and with it its world.
process.stdout.on('error', () => process.exit(1));

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : error}\n${USAGE}`);
  process.exitCode = 1;
}
