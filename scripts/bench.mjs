// `npm run bench` and its parts `bench:micro`, `bench:netns` and `soak`: the set-up, then the benchmark or the soak test.
// What needs network namespaces runs in a private world.

import { spawnSync } from 'node:child_process';
import { main, ROOT, SetupError } from './run.mjs';
import { setUp } from './setup.mjs';
import { runInWorld } from './world.mjs';

const [kind, ...args] = process.argv.slice(2);

await main(async () => {
  process.chdir(ROOT);
  if (kind === 'micro') return await runHere('micro');
  // Help and charts of an earlier result need neither root nor packages.
  if (kind === 'all' && (args.includes('--help') || valueOf('--chart-from') !== undefined))
    return await runHere('all');
  if (kind === 'soak') {
    await setUp(['bench']);
    return await runInWorld(`${ROOT}dist/bench/soak/index.js`, args);
  }
  if (kind !== 'netns' && kind !== 'all')
    throw new SetupError('use: node scripts/bench.mjs all | micro | netns | soak [flags]');
  const peers = valueOf('--peers') ?? (kind === 'netns' ? 'ovs' : '');
  await setUp(peers.split(',').includes('ovs') ? ['bench', 'ovs'] : ['bench']);
  return await runInWorld(`${ROOT}dist/bench/${kind}/index.js`, args);
});

/** Runs a benchmark as the user who starts it. */
async function runHere(name) {
  await setUp([], { network: false });
  const argv = [`${ROOT}dist/bench/${name}/index.js`, ...args];
  return spawnSync(process.execPath, argv, { stdio: 'inherit' }).status ?? 1;
}

function valueOf(flag) {
  const index = args.indexOf(flag);
  return index < 0 ? args.find((arg) => arg.startsWith(`${flag}=`))?.slice(flag.length + 1) : args[index + 1];
}
