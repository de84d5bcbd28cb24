#!/usr/bin/env node
/**
 * The entry point: checks the version of Node.js before it imports code that needs a recent one. It has no top-level
 * await, a syntax error before Node.js 14.8 (Ubuntu 22.04 has 12.22).
 */

import { nodeProblem } from './node-version.js';

const problem = nodeProblem(process.versions.node);
if (problem === undefined) {
  void import('./main.js').then(async ({ main }) => {
    process.exitCode = await main(process.argv.slice(2));
  });
} else {
  process.stderr.write(`weft: ${problem}\n`);
  process.exitCode = 1;
}
