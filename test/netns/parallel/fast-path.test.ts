/** The fast path: what it carries, what repairs it, and what stays of it without its Weft. */

import t from 'tap';
import { exec } from '../../../lab/exec.js';
import type { Pod } from '../../../lab/node.js';
import { until } from '../../../lab/until.js';
import { makeBed, startWeft, startWefts } from '../support/bed.js';
import { ATTACHMENTS, attachedBy, fastPackets, fastPathIs } from '../support/fast-path.js';
import { answered, startFlood } from '../support/pings.js';
import { statusOf } from '../support/state.js';
import { stream } from '../support/transfer.js';

const MEGABYTE = 1 << 20;

t.test('pings between known peers take the fast path, and count in totals, share and peer', async (t) => {
  const lab = await makeBed(t, { name: 'fastpings' });
  const [weft] = await startWefts(t, lab.nodes);
  await answered(t, lab.pod(1), lab.pod(2).address, 'answered', { count: 10 });
  const { counters, offload, peers } = await statusOf(weft);
  t.equal(offload.rung, 'bpf');
  t.ok((counters.fast_tx_packets ?? 0) >= 10 && (counters.fast_rx_packets ?? 0) >= 10);
  t.equal(counters.tx_packets, counters.fast_tx_packets, 'no packet takes the threads');
  t.equal(counters.rx_packets, counters.fast_rx_packets);
  t.match(peers[0], { txPackets: counters.tx_packets, rxPackets: counters.rx_packets });
});

/** Returns the bytes per packet that a pod has received. */
async function packetSize(pod: Pod): Promise<number> {
  const { stdout } = await exec(['cat', '/proc/net/dev'], { netns: pod.netns });
  const [, bytes, packets] = /eth0: *(\d+) +(\d+)/.exec(stdout) ?? [];
  return Number(bytes) / Number(packets);
}

t.test('TCP superpackets of a virtual link reach the pod whole, and count as their segments', async (t) => {
  const lab = await makeBed(t, { name: 'fastsuper' });
  const [weft] = await startWefts(t, lab.nodes);
  const bytes = 32 * MEGABYTE;
  const { sent, received } = await stream(lab.pod(1), lab.pod(2), bytes);
  t.equal(received, sent);
  t.ok((await packetSize(lab.pod(2))) > 4 * lab.node(1).podMtu);
  const { tx_packets } = (await statusOf(weft)).counters;
  t.ok(tx_packets >= bytes / lab.node(1).podMtu, `${tx_packets} packets sent`);
});

t.test('superpackets of a virtual link arrive without the Weft that received them before', async (t) => {
  const lab = await makeBed(t, { name: 'fastgone' });
  const [, second] = await startWefts(t, lab.nodes);
  await fastPathIs(second, true);
  await stream(lab.pod(1), lab.pod(2), MEGABYTE);
  await second.end('SIGKILL');
  const { sent, received } = await stream(lab.pod(1), lab.pod(2), 8 * MEGABYTE);
  t.equal(received, sent);
});

for (const attachment of ATTACHMENTS) {
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    t.test(`attached by ${attachment}: ${signal} and a restart lose no packet of a known peer`, async (t) => {
      const lab = await makeBed(t, { name: `fast${attachment}${signal.slice(3).toLowerCase()}` });
      const node = lab.node(1);
      const env = await attachedBy(t, node, attachment);
      await startWeft(t, lab.node(2));
      const first = await startWeft(t, node, { env });
      t.equal((await fastPathIs(first, true)).attached, attachment);
      const flood = startFlood(t, lab.pod(1), lab.pod(2).address);
      await until('packets pass', async () => (await fastPackets(first)).rx > 100);
      await first.end(signal);
      await answered(t, lab.pod(1), lab.pod(2).address, 'without Weft', { count: 100, interval: 0.002 });
      const second = await startWeft(t, node, { env });
      t.equal((await fastPathIs(second, true)).attached, attachment);
      await until('packets pass again', async () => (await fastPackets(second)).rx > 100);
      t.strictSame((await flood.end()).missing, []);
    });
  }

  t.test(`attached by ${attachment}: weft cleanup leaves nothing`, async (t) => {
    const lab = await makeBed(t, { name: `fastclean${attachment}` });
    const node = lab.node(1);
    const env = await attachedBy(t, node, attachment);
    const weft = await startWeft(t, node, { env });
    await fastPathIs(weft, true);
    await weft.end('SIGKILL');
    await weft.cleanUp();
    const { stdout: links } = await node.exec(['ip', '-o', 'link']);
    t.notMatch(links, /flannel|weft/);
    t.equal((await node.exec(['tc', 'filter', 'show', 'dev', node.iface, 'ingress'])).stdout, '');
    t.notMatch((await node.exec(['find', env.WEFT_TEST_BPF_FS ?? node.dir, '-name', 'weft'])).stdout, 'weft');
  });
}
