/**
 * The effect of the rules on packets, with each firewall, over IPv4 and IPv6.
 *
 *     pod1 ── node1 (rules) ──┬── node2 ── pod2          10.244.1.11, 10.244.2.11; fd00:244:1::11, fd00:244:2::11
 *                             └── node3, outside         192.168.77.3, fd00:77::3: reaches the pods through node1 alone
 */

import t from 'tap';
import { exec } from '../../../lab/exec.js';
import { ipBatch, sysctl } from '../../../lab/ip.js';
import type { LabNode, Pod } from '../../../lab/node.js';
import { LabProcess } from '../../../lab/process.js';
import { base6, makeDualBed, NETWORK6, pod6, underlay6 } from '../support/dual-bed.js';
import { applyOnce, OPTIONS, V4 } from '../support/rules.js';

const PORT = 7777;

const lab = await makeDualBed(t, { name: 'masq', nodes: 3 });
const [router, other, outside] = [lab.node(1), lab.node(2), lab.node(3)];

const FAMILIES = [
  { family: 'IPv4', at: (node: LabNode) => node.address, of: (pod: Pod) => pod.address },
  { family: 'IPv6', at: underlay6, of: (pod: Pod) => pod6(pod).address },
];
const RULES = {
  options: { ...OPTIONS, families: ['ipv4', 'ipv6'] },
  ranges: [V4, { ...V4, family: 'ipv6', network: NETWORK6, subnet: `${base6(router)}/64` }],
} as const;

await ipBatch(router.netns, [
  `route add ${other.subnet} via ${other.address}`,
  `route add ${base6(other)}/64 via ${underlay6(other)}`,
]);
await ipBatch(other.netns, [
  `route add ${router.subnet} via ${router.address}`,
  `route add ${base6(router)}/64 via ${underlay6(router)}`,
]);
await ipBatch(outside.netns, [
  `route add ${V4.network} via ${router.address}`,
  `route add ${NETWORK6} via ${underlay6(router)}`,
]);
// A redirect would lead outside past node1. A node that forwards IPv6 ignores redirects.
await sysctl(router.netns, {
  'net/ipv4/conf/all/send_redirects': 0,
  [`net/ipv4/conf/${router.iface}/send_redirects`]: 0,
});

const SERVER = `require('node:net').createServer((s) => s.end(s.remoteAddress.replace(/^::ffff:/, ''))).listen(${PORT}, '::', () => console.log('listening'))`;
for (const netns of [lab.pod(1).netns, lab.pod(2).netns, outside.netns]) {
  const server = router.own(new LabProcess([process.execPath, '-e', SERVER], { netns }));
  await server.waitFor(/listening/);
}

/** Returns the source address that the server sees of a connection from `netns`. */
async function seenFrom(netns: string, server: string): Promise<string> {
  const client = `require('node:net').connect(${PORT}, '${server}').pipe(process.stdout)`;
  return (await exec([process.execPath, '-e', client], { netns, timeoutMs: 5000 })).stdout;
}

const [pod1, pod2] = [lab.pod(1), lab.pod(2)];

for (const { family, at, of } of FAMILIES) {
  t.test(`${family}: without rules the outside sees the pod's own address`, async (t) => {
    t.equal(await seenFrom(pod1.netns, at(outside)), of(pod1));
  });
}

for (const [mode, backEnd] of [
  ['iptables', 'nft'],
  ['iptables', 'legacy'],
  ['nftables', 'none'],
] as const) {
  t.test(`--ip-masq masquerades traffic out of the cluster alone: ${mode}, ${backEnd}`, async (t) => {
    // The forward rules accept what the chain's policy drops; a table of nftables cannot overrule another.
    const policy = async (verdict: string) => {
      if (mode === 'nftables') return;
      for (const command of ['iptables', 'ip6tables'])
        await router.exec([`${command}-${backEnd}`, '-P', 'FORWARD', verdict]);
    };
    await policy('DROP');
    await applyOnce(t, router, { backEnd }, { ...RULES, options: { ...RULES.options, mode } });
    for (const { family, at, of } of FAMILIES) {
      t.equal(await seenFrom(pod1.netns, at(outside)), at(router), `${family}: pod to outside: masqueraded`);
      t.equal(await seenFrom(pod1.netns, of(pod2)), of(pod1), 'pod to pod: unchanged');
      t.equal(await seenFrom(pod2.netns, of(pod1)), of(pod2), 'and in the other direction');
      t.equal(
        await seenFrom(outside.netns, of(pod1)),
        at(outside),
        'outside to a pod of the node: unchanged',
      );
      t.equal(
        await seenFrom(outside.netns, of(pod2)),
        at(router),
        "outside to another node's pod: masqueraded, for the answer to come back this way",
      );
    }
    await applyOnce(t, router, { backEnd }, {});
    await policy('ACCEPT');
  });
}
