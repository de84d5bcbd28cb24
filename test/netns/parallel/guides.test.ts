/** The guide for plain machines, followed word for word on two nodes. */

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { until } from '../../../lab/until.js';
import { codeBlocks, ROOT, weftCommands } from '../../support/code-blocks.js';
import { makeBed } from '../support/bed.js';
import { runCommand, startCommand } from '../support/cli.js';
import { answered } from '../support/pings.js';

const PATH = 'docs/guides/plain-machines.md';

t.test('two machines follow the guide with a lease file', async (t) => {
  const blocks = codeBlocks({ path: PATH, text: await readFile(join(ROOT, PATH), 'utf8') });
  const [netConf = '', leases = ''] = blocks
    .filter(({ language }) => language === 'json')
    .map(({ text }) => text);
  const commands = blocks.flatMap(({ text }) => weftCommands(text));
  const lab = await makeBed(t, { name: 'guide' });
  for (const node of [lab.node(1), lab.node(2)]) {
    // Both nodes share a file system, so each has a directory in the place of /etc/weft and /run.
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
  await answered(t, lab.node(1), '10.244.2.0', 'the ping of the guide');
  await answered(t, lab.pod(1), lab.pod(2).address, 'pods reach each other');
});
