#!/usr/bin/env node
/** The entry point: checks the version of Node.js before it imports code that needs a recent one. */

import { nodeProblem } from './node-version.js';

const problem = nodeProblem(process.versions.node);
if (problem === undefined) {
  const { main } = await import('./main.js');
  process.exitCode = await main(process.argv.slice(2));
} else {
  process.stderr.write(`weft: ${problem}\n`);
  process.exitCode = 1;
}
