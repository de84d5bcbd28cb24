/** `npm run fuzz`: runs the targets until each has its share of the inputs, or replays recorded inputs. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { isFuzzFailure, type Target } from './target.js';
import { allTargets } from './targets.js';
import { closeServer } from './text/system.js';

const DEFAULT_INPUTS = 100_000;
/** Most characters of a reason that is printed. */
const REASON = 400;
const FOLDER = new URL('../../fuzz/', import.meta.url);

const HELP = `npm run fuzz -- [--inputs N] [--seed S] [--target NAME]...
npm run fuzz -- --target NAME --replay FILE

--inputs N     inputs altogether (default ${DEFAULT_INPUTS}); each target gets the same share
--seed S       first seed (default: from the clock); each seed stands for a few thousand inputs
--target NAME  a target, or the beginning of its name (default: all)
--replay FILE  runs the input in a file that an earlier run wrote

targets: `;

/** Runs one target and returns the number of inputs; reports a failure and throws it. */
async function runTarget(target: Target, inputs: number, firstSeed: number): Promise<number> {
  let done = 0;
  const start = performance.now();
  let seed = firstSeed;
  for (; done < inputs; seed++) {
    try {
      done += await target.run(seed, inputs - done);
    } catch (error) {
      if (isFuzzFailure(error)) report(target, seed, error.message, error.text);
      throw error;
    }
  }
  const perSecond = Math.round((done / (performance.now() - start)) * 1000);
  console.log(`${target.name}: ${done} inputs, seeds ${firstSeed} to ${seed - 1}, ${perSecond} per second`);
  return done;
}

function report(target: Target, seed: number, reason: string, input: string): void {
  mkdirSync(FOLDER, { recursive: true });
  const file = `dist/fuzz/${target.name}-${seed}.txt`;
  const text = `# ${reason.slice(0, REASON)}\n${input}`;
  writeFileSync(new URL(`${target.name}-${seed}.txt`, FOLDER), text);
  console.log(text.slice(0, 20_000));
  console.log(`${target.name} failed: ${reason.slice(0, REASON)}`);
  console.log(`replay all of its seed: npm run fuzz -- --target ${target.name} --seed ${seed}`);
  console.log(`replay this input:      npm run fuzz -- --target ${target.name} --replay ${file}`);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      inputs: { type: 'string', default: String(DEFAULT_INPUTS) },
      seed: { type: 'string', default: String(Math.floor(Date.now() / 1000)) },
      target: { type: 'string', multiple: true, default: [''] },
      replay: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const all = allTargets();
  const targets = all.filter(({ name }) => values.target.some((start) => name.startsWith(start)));
  if (values.help || targets.length === 0) {
    console.log(HELP + all.map(({ name }) => name).join(' '));
    return values.help ? 0 : 1;
  }
  const [first] = targets;
  if (values.replay !== undefined && first !== undefined) {
    const reason = await first.replay(readFileSync(values.replay, 'utf8'));
    console.log(reason === undefined ? 'passed' : `failed: ${reason.slice(0, REASON)}`);
    return reason === undefined ? 0 : 1;
  }
  let total = 0;
  const share = Math.ceil(Number(values.inputs) / targets.length);
  for (const target of targets) total += await runTarget(target, share, Number(values.seed));
  console.log(`${total} inputs, no failure`);
  return 0;
}

try {
  process.exitCode = await main();
  await closeServer();
} catch (error) {
  if (!isFuzzFailure(error)) console.error(error);
  process.exitCode = 1;
}
