/** The fast path beside other programs: what they remove comes back, what they add keeps working. */

import t from 'tap';
import { startKernel } from '../../../lab/dataplanes/kernel.js';
import { exec } from '../../../lab/exec.js';
import { ipBatch, ipJson } from '../../../lab/ip.js';
import { until } from '../../../lab/until.js';
import { DIST } from '../../../lab/world.js';
import { makeBed, startWeft, startWefts } from '../support/bed.js';
import { ATTACHMENTS, attachedBy, fastPackets, fastPathIs, filtersAt } from '../support/fast-path.js';
import { answered } from '../support/pings.js';
import { statusOf } from '../support/state.js';

/** What another program may remove of each way of attaching. */
const REMOVALS: Record<(typeof ATTACHMENTS)[number], [what: string, command: string][]> = {
  clsact: [
    ['the qdisc of the underlay', 'tc qdisc delete dev ua clsact'],
    ['the filter of the overlay device', 'tc filter delete dev flannel.1 egress'],
  ],
  tcx: [
    ['the pin of a link', 'rm "$BPF"/weft/*/flannel_1/in'],
    ['the pin of a map', 'rm "$BPF"/weft/*/flannel_1/fdb'],
  ],
};

for (const attachment of ATTACHMENTS) {
  const removals: [what: string, command: string][] = [
    ['the joiner', 'ip link delete weft.0'],
    ['an end of the joiner is down', 'ip link set weft.1 down'],
    ...REMOVALS[attachment],
  ];

  t.test(
    `attached by ${attachment}: what is removed is restored within two seconds, and counted`,
    async (t) => {
      const lab = await makeBed(t, { name: `fastdrift${attachment}` });
      const node = lab.node(1);
      const env = await attachedBy(t, node, attachment);
      const [weft] = await startWefts(t, lab.nodes, { env });
      await fastPathIs(weft, true);
      for (const [what, command] of removals) {
        await t.test(what, async (t) => {
          const before = (await statusOf(weft)).repairs.fastPath ?? 0;
          await node.exec(['env', `BPF=${env.WEFT_TEST_BPF_FS}`, 'sh', '-c', command]);
          await answered(t, lab.pod(1), lab.pod(2).address, 'packets pass meanwhile');
          await until('it is repaired', async () => ((await statusOf(weft)).repairs.fastPath ?? 0) > before, {
            timeoutMs: 2000,
          });
          const { rx } = await fastPackets(weft);
          await answered(t, lab.pod(1), lab.pod(2).address);
          t.ok((await fastPackets(weft)).rx > rx, 'packets take the fast path again');
        });
      }
    },
  );
}

for (const attachment of ATTACHMENTS) {
  for (const order of ['before', 'after'] as const) {
    t.test(
      `a program that another process attaches by ${attachment} ${order} Weft sees every packet`,
      async (t) => {
        const lab = await makeBed(t, { name: `fastother${attachment}${order}` });
        const node = lab.node(1);
        const [link] = await ipJson<{ ifindex: number }[]>(node.netns, 'link', 'show', 'dev', 'ua');
        const program = [process.execPath, `${DIST}test/netns/peer/foreign-program.js`];
        const attach = async () => {
          const other = node.start([...program, attachment, String(link?.ifindex)]);
          t.teardown(() => other.stop('SIGKILL'));
          await other.waitFor(/attached/);
          return other;
        };
        const early = order === 'before' ? await attach() : undefined;
        const [weft] = await startWefts(t, lab.nodes);
        await fastPathIs(weft, true);
        const other = early ?? (await attach());
        const { rx } = await fastPackets(weft);
        await answered(t, lab.pod(1), lab.pod(2).address, 'answered', { count: 20 });
        t.ok((await fastPackets(weft)).rx >= rx + 20, 'packets take the fast path');
        await until('the other program saw them', () =>
          other.stdout.split('\n').some((line) => Number(line) >= 20),
        );
      },
    );
  }
}

t.test('an IPsec policy that may match turns the fast path off, and its end turns it on', async (t) => {
  const lab = await makeBed(t, { name: 'fastxfrm' });
  const node = lab.node(1);
  const [weft] = await startWefts(t, lab.nodes);
  await fastPathIs(weft, true);
  const policy = 'src 192.168.77.0/24 dst 192.168.77.0/24 dir out';
  await ipBatch(node.netns, [`xfrm policy add ${policy} action allow`]);
  t.match((await fastPathIs(weft, false)).reason, /IPsec policy/);
  await answered(t, lab.pod(1), lab.pod(2).address, 'the threads carry packets');
  await ipBatch(node.netns, [`xfrm policy delete ${policy}`]);
  await fastPathIs(weft, true);
  await ipBatch(node.netns, ['xfrm policy add src 10.9.0.0/16 dst 10.8.0.0/16 dir out action allow']);
  await exec(['sleep', '2']);
  t.equal((await statusOf(weft)).offload.fastPath.on, true, 'a policy for other packets does not matter');
});

t.test('a start without the fast path removes that of an earlier run', async (t) => {
  const lab = await makeBed(t, { name: 'fastoff' });
  const node = lab.node(1);
  const [first] = await startWefts(t, lab.nodes);
  await fastPathIs(first, true);
  await first.end('SIGKILL');
  const second = await startWeft(t, node, { flags: ['--offload', 'gso'] });
  t.strictSame(await filtersAt(node, 'ua', 'ingress'), []);
  t.strictSame(await filtersAt(node, 'flannel.1', 'egress'), []);
  t.notMatch((await node.exec(['ip', '-o', 'link'])).stdout, 'weft.0');
  await answered(t, lab.pod(1), lab.pod(2).address);
  t.strictSame(await fastPackets(second), { tx: 0, rx: 0 });
});

t.test('without Weft and its device, the programs leave datagrams to whoever has the port', async (t) => {
  const lab = await makeBed(t, { name: 'fastback' });
  const node = lab.node(1);
  const [weft] = await startWefts(t, lab.nodes);
  await fastPathIs(weft, true);
  await weft.end('SIGKILL');
  // As flanneld does.
  await ipBatch(node.netns, ['link delete flannel.1']);
  await startKernel(node);
  await answered(t, lab.pod(1), lab.pod(2).address);
});
