/** A flood from an unknown address is dropped by a filter at the sockets, which no peer notices. */

import t, { type Test } from 'tap';
import type { WeftDataplane } from '../../lab/dataplanes/weft.js';
import { ipBatch } from '../../lab/ip.js';
import { udpConf, writeLeases } from '../../lab/leases.js';
import { type FloodOptions, startFlood } from '../../lab/traffic/flood.js';
import { until } from '../../lab/until.js';
import { atLevel, makeBed, startWefts, USERSPACE_LEVELS } from './support/bed.js';
import { answered } from './support/pings.js';
import { risen, statusOf } from './support/state.js';

const RATE = 20_000;
const STRANGER = '192.168.77.66';

/** Waits until the filter of `weft` drops datagrams. */
async function filtered(weft: WeftDataplane): Promise<void> {
  const before = (await statusOf(weft)).counters.rx_drop_filtered;
  await until(
    'the filter drops',
    async () => (await statusOf(weft)).counters.rx_drop_filtered > before + 100,
    {
      timeoutMs: 10_000,
    },
  );
}

for (const level of USERSPACE_LEVELS) {
  t.test(`level ${level}: a flood of an unknown address`, async (t) => {
    const lab = await makeBed(t, { name: `flood${level}` });
    const [node1, node2] = [lab.node(1), lab.node(2)];
    const [weft, peer] = await startWefts(t, [node1, node2], atLevel(level));
    if (weft === undefined || peer === undefined) throw new Error('no Weft');
    const flood = (options: Partial<FloodOptions> = {}) =>
      startFlood(node2, node1, { source: STRANGER, size: 100, rate: RATE, ...options });

    await t.test('is filtered; its samples are still counted by their reason', async (t) => {
      const before = (await statusOf(weft)).counters;
      const flooder = await flood();
      await filtered(weft);
      const during = (await statusOf(weft)).counters;
      await until(
        'samples',
        async () => risen(during, (await statusOf(weft)).counters).rx_drop_unknown_vtep !== undefined,
      );
      await answered(t, lab.pod(1), lab.pod(2).address, 'a peer is answered', { count: 20 });
      await flooder.stop('SIGKILL');
      const { rx_drop_checksum, rx_packets = 0 } = risen(before, (await statusOf(weft)).counters);
      t.ok(rx_packets >= 20);
      t.equal(rx_drop_checksum, undefined);
    });

    await t.test('does not keep a peer out that joins or moves meanwhile', async (t) => {
      const flooder = await flood();
      await filtered(weft);
      // Node 2 moves to the address that floods, which is leased from now on.
      await peer.stop();
      await ipBatch(node2.netns, [
        `address delete ${node2.address}/24 dev ${node2.iface}`,
        `address add ${STRANGER}/24 dev ${node2.iface}`,
      ]);
      const moved = lab
        .leases()
        .map((lease) => (lease.PublicIP === node2.address ? { ...lease, PublicIP: STRANGER } : lease));
      await writeLeases(weft.leaseFile, moved);
      await startWefts(t, [node2], { ...atLevel(level), leases: moved });
      await until('the moved peer', async () =>
        (await statusOf(weft)).peers.some(({ publicIP }) => publicIP === STRANGER),
      );
      await flooder.stop('SIGKILL');
      await answered(t, lab.pod(1), lab.pod(2).address, 'the moved peer is answered');
    });
  });
}

t.test('a flood of the udp backend is filtered, and its peers are not', async (t) => {
  const lab = await makeBed(t, { name: 'floodudp', overhead: 28 });
  const [weft] = await startWefts(t, lab.nodes, { netConf: udpConf() });
  if (weft === undefined) throw new Error('no Weft');
  await startFlood(lab.node(2), lab.node(1), { source: STRANGER, size: 100, rate: RATE, port: 8285 });
  await filtered(weft);
  await answered(t, lab.pod(1), lab.pod(2).address);
});

t.test('a flood that the peer check accepts is not filtered', async (t) => {
  await withoutFilter(t, 'off', ['--peer-check', 'off'], 'rx_drop_not_our_mac');
});

t.test('a flood behind --peer-check mac is counted by its reason alone', async (t) => {
  await withoutFilter(t, 'mac', ['--peer-check', 'mac'], 'rx_drop_wrong_source_mac');
});

async function withoutFilter(
  t: Test,
  name: string,
  flags: readonly string[],
  counter: string,
): Promise<void> {
  const lab = await makeBed(t, { name: `flood${name}` });
  const [weft] = await startWefts(t, [lab.node(1)], atLevel('gso', ...flags));
  if (weft === undefined) throw new Error('no Weft');
  await startFlood(lab.node(2), lab.node(1), { source: STRANGER, size: 100, rate: RATE });
  const many = async () => ((await statusOf(weft)).counters as Record<string, number>)[counter] ?? 0;
  await until(`${counter} of two seconds`, async () => (await many()) > 2 * RATE, { timeoutMs: 20_000 });
  t.equal((await statusOf(weft)).counters.rx_drop_filtered, 0);
}
