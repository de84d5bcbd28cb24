/** `npm run bench:netns`: chosen figures for Weft, the kernel, Open vSwitch and a naive dataplane, as JSON and Markdown. */

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describeMachine } from './machine.js';
import { measureAll, nameOf, presentPeers } from './measure.js';
import { parseOptions, USAGE } from './options.js';
import { markdownReport, summarize } from './report.js';

async function main(argv: readonly string[]): Promise<number> {
  const options = parseOptions(argv);
  if (options === 'help') {
    console.log(USAGE);
    return 0;
  }
  const machine = await describeMachine();
  const peers = await presentPeers(options.peers);
  const [samples, failures] = await measureAll(options, peers);
  const names = peers.map((peer) => peer.name);
  const { rounds, seconds, modes, figures } = options;
  const summary = summarize(samples, modes, figures, names);
  const table = markdownReport(machine, summary, modes, figures, names);
  const result = { machine, options: { rounds, seconds, modes, peers: names }, summary, samples, failures };
  await mkdir(dirname(options.out), { recursive: true });
  await writeFile(options.out, `${JSON.stringify(result, null, 1)}\n`);
  await writeFile(options.out.replace(/(\.json)?$/, '.md'), table);
  console.log(`\n${table}\nwrote ${options.out} and the table beside it as .md`);
  for (const one of failures) console.error(`failed: ${nameOf(one)}`);
  return failures.length === 0 ? 0 : 1;
}

// A closed pipe ends this process, and with it its world.
process.stdout.on('error', () => process.exit(1));

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : error}\n${USAGE}`);
  process.exitCode = 1;
}
