/** Obstacles in real firewalls, as the running Weft and the doctor report them; kubelet's back end of iptables. */

import t from 'tap';
import { netConf } from '../../../lab/leases.js';
import type { LabNode } from '../../../lab/node.js';
import { until } from '../../../lab/until.js';
import { makeBed, startWeft } from '../support/bed.js';
import { makePlace, runCommand, runFlags } from '../support/cli.js';
import { applyOnce, saved } from '../support/rules.js';
import { statusOf } from '../support/state.js';

const lab = await makeBed(t, { name: 'obstacles', podsPerNode: 0 });
const [node, legacyNode] = [lab.node(1), lab.node(2)];

/** Returns everything that the doctor must not change. */
async function rulesOf(of: LabNode): Promise<string> {
  return (await of.exec(['sh', '-c', 'nft list ruleset; cat /proc/net/ip_tables_names'])).stdout;
}

t.test('weft doctor warns of dropping rules in every firewall, and leaves nothing behind', async (t) => {
  const place = await makePlace(node);
  for (const [rules, warnings] of [
    // Weft's own rules accept pod traffic there.
    ['iptables -P FORWARD DROP', []],
    [
      `iptables -A FORWARD -j REJECT
      iptables -P INPUT DROP
      iptables-legacy -P FORWARD DROP
      nft add table inet f
      nft "add chain inet f forward { type filter hook forward priority 10; policy drop; }"
      nft add table netdev d
      nft "add chain netdev d i { type filter hook ingress device ua priority 0; }"
      nft add rule netdev d i udp dport 8472 drop`,
      [
        /^WARNING +iptables: chain FORWARD drops pod traffic .*rule -A FORWARD -j REJECT.*fix: +iptables -I FORWARD -s/m,
        /^WARNING +iptables: chain INPUT .*UDP port 8472 on ua \(its policy is DROP\)/m,
        /^WARNING +iptables-legacy: chain FORWARD .*its policy is DROP/m,
        /^WARNING +nftables: chain forward of table inet f \(hook forward\) .*policy is DROP/m,
        /^WARNING +nftables: chain i of table netdev d \(hook ingress\) drops the datagrams .*match drop/m,
      ],
    ],
  ] as const) {
    await node.exec(['sh', '-ec', rules]);
    const before = await rulesOf(node);
    const { code, stdout } = await runCommand(node, [
      ...['doctor', ...runFlags(place, node.iface).slice(1)],
      '--ip-masq',
    ]);
    t.equal(await rulesOf(node), before);
    const blocks = stdout
      .split('\n\n')
      .map((block) => block.replaceAll(/ \\\n +|\n {9}/g, ' ').replaceAll('\n', ' '));
    for (const warning of warnings)
      t.ok(
        blocks.some((block) => warning.test(block)),
        `${warning}: ${stdout}`,
      );
    t.equal(blocks.filter((block) => block.startsWith('WARNING ')).length, warnings.length);
    t.equal(code, 0);
  }
  await node.exec(['sh', '-ec', 'nft flush ruleset; iptables-legacy -P FORWARD ACCEPT']);
});

t.test('the running Weft logs obstacles, and status and doctor show them', async (t) => {
  await node.exec(['iptables-nft', '-P', 'FORWARD', 'DROP']);
  const nftables = { ...netConf(), EnableNFTables: true };
  const weft = await startWeft(t, node, { netConf: nftables });
  const text = /chain FORWARD drops pod traffic of 10\.244\.0\.0\/16 \(its policy is DROP\)/;
  await weft.process.waitFor(text);
  t.match((await statusOf(weft)).obstacles, [text]);
  // The doctor does not wait for the next check of the running Weft.
  await node.exec(['iptables-nft', '-A', 'FORWARD', '-j', 'REJECT']);
  const { stdout } = await runCommand(node, [
    ...['doctor', '--lease-file', weft.leaseFile, '--net-config-path', weft.netConfPath],
    ...['--iface', node.iface, '--run-dir', weft.runDir],
  ]);
  t.match(stdout, /^ok {7}weft runs here, pid \d+/m);
  t.match(
    stdout.replaceAll(/\n +/g, ' '),
    /^WARNING +iptables: chain FORWARD drops .*rule -A FORWARD -j REJECT/m,
  );
});

t.test(
  "the rules go where kubelet's chains are, and stale rules of the other back end disappear",
  async (t) => {
    const commands = { backEnd: 'nft' } as const;
    await applyOnce(t, legacyNode, commands);
    t.equal((await saved(legacyNode, 'nft', 'filter')).length, 4);
    await legacyNode.exec(['iptables-legacy', '-t', 'mangle', '-N', 'KUBE-IPTABLES-HINT']);
    const weft = await startWeft(t, legacyNode, { flags: ['--ip-masq'] });
    await weft.process.waitFor(
      /iptables uses nf_tables, but kubelet's chains are in legacy: Weft uses iptables-legacy/,
    );
    t.equal((await saved(legacyNode, 'legacy', 'filter')).length, 4);
    t.equal((await saved(legacyNode, 'legacy', 'nat')).length, 8);
    await until('the stale rules are gone', async () => {
      return (await saved(legacyNode, 'nft', 'filter')).length === 0;
    });
  },
);
