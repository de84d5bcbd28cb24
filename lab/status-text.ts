/** Prints `weft status` of a node of the demo's cluster, after some traffic: for scripts/pictures.mjs. */

import { pingAll, startAll, streamAll } from './cluster.js';
import { Lab } from './lab.js';

const silent = () => undefined;

const lab = await Lab.create({ nodes: 3, podsPerNode: 2, mode: 'plain' });
try {
  const [first] = await startAll(lab);
  await pingAll(lab, silent);
  await streamAll(lab, silent);
  process.stdout.write((await first?.statusText()) ?? '');
} finally {
  await lab.dispose();
}
