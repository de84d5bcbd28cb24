/** Longest prefix match: the cost must not depend on the number of routes. */

import { Routes } from '../../src/dataplane/tunnel/routes.js';
import { sink, suite } from './suite.js';

const SIZES = [10, 1000, 10_000];
const BASE = 10 << 24;

export function run(): void {
  const cases: Record<string, () => void> = {};
  for (const size of SIZES) {
    const routes = new Routes();
    for (let i = 0; i < size; i++) routes.set(BASE + (i << 8), 24, i + 1);
    let next = 0;
    cases[`hit, ${size} routes`] = () => {
      // A prime step, so consecutive lookups hit distant subnets.
      next = (next + 7919) % size;
      sink[0] += routes.lookup(BASE + (next << 8) + 7);
    };
  }
  suite('longest prefix match', cases);
}
