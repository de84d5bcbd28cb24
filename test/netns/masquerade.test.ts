/**
 * What the rules do to packets, with each firewall.
 *
 *     pod1 ── node1 (rules) ──┬── node2 ── pod2          10.244.1.11, 10.244.2.11
 *                             └── node3, outside         192.168.77.3: knows the pods through node1 alone
 */

import t from 'tap';
import { exec } from '../../lab/exec.js';
import { ipBatch, sysctl } from '../../lab/ip.js';
import { LabProcess } from '../../lab/process.js';
import { makeBed } from './support/bed.js';
import { applyOnce, OPTIONS } from './support/rules.js';

const PORT = 7777;

const lab = await makeBed(t, { name: 'masq', nodes: 3 });
const [router, other, outside] = [lab.node(1), lab.node(2), lab.node(3)];

await ipBatch(router.netns, [`route add ${other.subnet} via ${other.address}`]);
await ipBatch(other.netns, [`route add ${router.subnet} via ${router.address}`]);
await ipBatch(outside.netns, [`route add 10.244.0.0/16 via ${router.address}`]);
// Else outside would be told of the shorter way, and not come through node1 any more.
await sysctl(router.netns, {
  'net/ipv4/conf/all/send_redirects': 0,
  [`net/ipv4/conf/${router.iface}/send_redirects`]: 0,
});

const SERVER = `require('node:net').createServer((s) => s.end(s.remoteAddress)).listen(${PORT}, '0.0.0.0', () => console.log('listening'))`;
for (const netns of [lab.pod(1).netns, lab.pod(2).netns, outside.netns]) {
  const server = router.own(new LabProcess([process.execPath, '-e', SERVER], { netns }));
  await server.waitFor(/listening/);
}

/** The address that the server sees of whoever connects to it from `netns`. */
async function seenFrom(netns: string, server: string): Promise<string> {
  const client = `require('node:net').connect(${PORT}, '${server}').pipe(process.stdout)`;
  return (await exec([process.execPath, '-e', client], { netns, timeoutMs: 5000 })).stdout;
}

const [pod1, pod2] = [lab.pod(1), lab.pod(2)];

t.test('without rules the outside sees the pod itself', async (t) => {
  t.equal(await seenFrom(pod1.netns, outside.address), pod1.address);
});

for (const [mode, backEnd] of [
  ['iptables', 'nft'],
  ['iptables', 'legacy'],
  ['nftables', 'none'],
] as const) {
  t.test(`${mode}, ${backEnd}`, async (t) => {
    // What the chain would drop the forward rules let through; a table of nftables cannot overrule another.
    const policy = (verdict: string) =>
      mode === 'iptables' ? router.exec([`iptables-${backEnd}`, '-P', 'FORWARD', verdict]) : undefined;
    await policy('DROP');
    await applyOnce(t, router, { backEnd }, { options: { ...OPTIONS, mode } });
    t.equal(await seenFrom(pod1.netns, outside.address), router.address, 'pod to outside: masqueraded');
    t.equal(await seenFrom(pod1.netns, pod2.address), pod1.address, 'pod to pod: as it is');
    t.equal(await seenFrom(pod2.netns, pod1.address), pod2.address, 'and the other way');
    t.equal(
      await seenFrom(outside.netns, pod1.address),
      outside.address,
      'outside to a pod of the node: as it is',
    );
    t.equal(
      await seenFrom(outside.netns, pod2.address),
      router.address,
      "outside to another node's pod: masqueraded, for the answer to come back this way",
    );
    await applyOnce(t, router, { backEnd }, {});
    await policy('ACCEPT');
  });
}
