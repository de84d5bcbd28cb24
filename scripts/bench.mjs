// `npm run bench:micro`, `npm run bench:netns -- [flags]` and `npm run soak -- [flags]`: the set-up, then the benchmark or
// the soak test; the last two in a private world.

import { spawnSync } from 'node:child_process';
import { main, ROOT, SetupError } from './run.mjs';
import { setUp } from './setup.mjs';
import { runInWorld } from './world.mjs';

const [kind, ...args] = process.argv.slice(2);

await main(async () => {
  if (kind === 'micro') {
    await setUp([], { network: false });
    return (
      spawnSync(process.execPath, [`${ROOT}dist/bench/micro/index.js`, ...args], { stdio: 'inherit' })
        .status ?? 1
    );
  }
  if (kind === 'soak') {
    await setUp(['bench']);
    return await runInWorld(`${ROOT}dist/bench/soak/index.js`, args);
  }
  if (kind !== 'netns') throw new SetupError('use: node scripts/bench.mjs micro | netns | soak [flags]');
  const peers = valueOf('--peers') ?? 'ovs';
  await setUp(peers.split(',').includes('ovs') ? ['bench', 'ovs'] : ['bench']);
  return await runInWorld(`${ROOT}dist/bench/netns/index.js`, args);
});

function valueOf(flag) {
  const index = args.indexOf(flag);
  return index < 0 ? args.find((arg) => arg.startsWith(`${flag}=`))?.slice(flag.length + 1) : args[index + 1];
}
