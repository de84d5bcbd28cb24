/** The guides with a lease file, followed word for word on two nodes. */

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { LabNode } from '../../../lab/node.js';
import { until } from '../../../lab/until.js';
import { codeBlocks, ROOT, weftCommands } from '../../support/code-blocks.js';
import { makeBed } from '../support/bed.js';
import { runCommand, startCommand } from '../support/cli.js';
import { makeDualBed, settled6 } from '../support/dual-bed.js';
import { answered } from '../support/pings.js';

const PLAIN = 'docs/guides/plain-machines.md';

async function blocksOf(path: string): Promise<{ language: string; text: string }[]> {
  return codeBlocks({ path, text: await readFile(join(ROOT, path), 'utf8') });
}

/** Returns the two JSON files of a guide: net-conf.json and the lease file. */
async function filesOf(path: string): Promise<[netConf: string, leases: string]> {
  const [netConf = '', leases = ''] = (await blocksOf(path))
    .filter(({ language }) => language === 'json')
    .map(({ text }) => text);
  return [netConf, leases];
}

/** Follows the guide for plain machines with these files on one node, until Weft is ready. */
async function follow(t: Test, node: LabNode, [netConf, leases]: [string, string]): Promise<void> {
  const commands = (await blocksOf(PLAIN)).flatMap(({ text }) => weftCommands(text));
  // The nodes share a file system, so each has a directory in the place of /etc/weft and /run.
  await mkdir(`${node.dir}/etc`, { recursive: true });
  await writeFile(`${node.dir}/etc/net-conf.json`, netConf);
  await writeFile(`${node.dir}/etc/leases.json`, leases);
  const own = [
    '--run-dir',
    `${node.dir}/run`,
    '--subnet-file',
    `${node.dir}/subnet.env`,
    '--iface',
    node.iface,
  ];
  const wordsOf = (name: string): string[] => {
    const words = commands.find(([command]) => command === name) ?? [];
    t.ok(words.length > 3, `the guide has weft ${name}`);
    return words.map((word) => word.replace('/etc/weft', `${node.dir}/etc`));
  };
  const { code, stdout } = await runCommand(node, [...wordsOf('doctor'), ...own]);
  t.equal(code, 0, stdout);
  const weft = startCommand(t, node, [...wordsOf('run'), ...own]);
  await until('ready', async () => /\] ready: flannel\.1 is up/.test(weft.stderr));
}

t.test('two machines follow the guide for plain machines', async (t) => {
  const lab = await makeBed(t, { name: 'guide' });
  const files = await filesOf(PLAIN);
  for (const node of lab.nodes) await follow(t, node, files);
  await answered(t, lab.node(1), '10.244.2.0', 'the ping of the guide');
  await answered(t, lab.pod(1), lab.pod(2).address, 'pods reach each other');
});

t.test('two machines follow the guide for dual stack', async (t) => {
  const lab = await makeDualBed(t, { name: 'guide6' });
  const files = await filesOf('docs/guides/dual-stack.md');
  for (const node of lab.nodes) await follow(t, node, files);
  for (const node of lab.nodes) await settled6(node);
  await answered(t, lab.node(1), 'fd00:10:244:2::', 'the ping of the guide');
  await answered(t, lab.node(1), '10.244.2.0', 'and that of IPv4');
});
