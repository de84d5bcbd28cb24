/** `npm run bench`: every figure on both links, for the kernel and each offload level, with a table and charts. */

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
  const peers = await presentPeers(measure.peers);
  const [samples, failures] = await measureAll(measure, peers);
  const names = peers.map((peer) => peer.name);
  const { modes, figures, out } = measure;
  const summary = summarize(samples, modes, figures, names);
  const result = { machine, summary };
  const paths = ['result.json', 'samples.json', 'table.md'].map((name) => `${out}/${name}`);
  const [resultPath = '', samplesPath = '', tablePath = ''] = paths;
  writeResult(resultPath, result);
  write(samplesPath, `${JSON.stringify({ samples, failures }, null, 1)}\n`);
  write(tablePath, markdownReport(machine, summary, modes, figures, names));
  console.log(`\n${terminalReport(summary, modes, figures, names).join('\n')}`);
  for (const one of failures) console.error(`failed: ${nameOf(one)}`);
  return [result, paths, failures.length];
}

/** Writes the light and the dark chart to a folder, and returns their paths. */
function writeCharts(folder: string, result: Result): string[] {
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
  const { chartFrom, docs } = options;
  const [result, paths, failed] =
    chartFrom === undefined ? await measured(options) : [readResult(chartFrom), [], 0];
  paths.push(...writeCharts(options.measure.out, result));
  if (docs) {
    if (chartFrom !== RECORDED) writeResult(RECORDED, result);
    paths.push(RECORDED, ...writeCharts('docs/images', result));
  }
  console.log(`\n${terminalChart(result).join('\n')}\n\nwrote ${paths.join('\n      ')}`);
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
