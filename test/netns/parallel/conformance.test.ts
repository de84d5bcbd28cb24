/**
 * Between two Weft nodes everything arrives as it was sent: at every offload level, from the least pod MTU to jumbo
 * frames.
 */

import t, { type Test } from 'tap';
import type { WeftDataplane, WeftOptions } from '../../../lab/dataplanes/weft.js';
import type { Lab } from '../../../lab/lab.js';
import { atLevel, LEVELS, makeBed, startWeft } from '../support/bed.js';
import { exchange, superpacketsUsed } from '../support/exchange.js';
import { damageIn, refusedBy } from '../support/harm.js';
import { withIpv6 } from '../support/ipv6.js';
import { statusOf } from '../support/state.js';
import { segmentedDatagrams, stream } from '../support/transfer.js';

const MEGABYTE = 1 << 20;
const GIGABYTE = 1 << 30;
/** Bytes that the tunnel adds: outer IPv4, UDP and VXLAN headers, and the inner Ethernet header. */
const TUNNEL_HEADERS = 50;

/** Starts Weft on both nodes of a lab. */
function startPair(t: Test, lab: Lab, options: WeftOptions): Promise<[WeftDataplane, WeftDataplane]> {
  return Promise.all([startWeft(t, lab.node(1), options), startWeft(t, lab.node(2), options)]);
}

for (const [podMtu, mode] of [
  [1280, 'plain'],
  [1450, 'virt'],
  [8950, 'plain'],
] as const) {
  t.test(`traffic between pods of MTU ${podMtu} over ${mode} links`, async (t) => {
    const lab = await makeBed(t, { name: `mtu${podMtu}`, mtu: podMtu + TUNNEL_HEADERS, mode, ipv6: true });

    for (const level of LEVELS) {
      await t.test(`at offload level ${level}`, async (t) => {
        const wefts = await startPair(t, lab, atLevel(level));
        const [first, second] = wefts;
        t.equal((await statusOf(first)).device.mtu, podMtu);
        await exchange(t, lab.pod(1), lab.pod(2), podMtu);

        const [here, there] = await withIpv6(lab);
        await t.test('TCP arrives unharmed over IPv6', async (t) => {
          const { sent, received } = await stream(here, there, 16 * MEGABYTE);
          t.equal(received, sent);
        });
        await t.test('superpackets of UDP_SEGMENT arrive as their datagrams over IPv6', async (t) => {
          const result = await segmentedDatagrams(there, here, 2000, podMtu - 48);
          t.equal(result, 'whole 2000 damaged 0');
        });

        await t.test('no network stack on the path counts a broken packet', async (t) => {
          for (const weft of wefts) {
            // With IPv6 the kernel sends multicast of its own to the device.
            const { tx_drop_multicast, ...refused } = await refusedBy(weft);
            t.strictSame(refused, {}, `${weft.node.name} has refused nothing`);
          }
          t.strictSame(await damageIn(lab), {}, 'nor does a kernel');
        });

        await t.test(
          `packets travel ${{ none: 'one by one', gso: 'in superpackets', bpf: 'by the fast path' }[level]}`,
          async (t) => {
            await superpacketsUsed(t, level, first, second);
            await superpacketsUsed(t, level, second, first);
          },
        );
      });
    }
  });
}

t.test('a stream of 1 GiB', async (t) => {
  const lab = await makeBed(t, { name: 'gigabyte', mode: 'plain' });
  for (const level of LEVELS) {
    await t.test(`arrives unharmed at offload level ${level}`, async (t) => {
      const wefts = await startPair(t, lab, atLevel(level));
      const { sent, received } = await stream(lab.pod(1), lab.pod(2), GIGABYTE);
      t.match(sent, / 1073741824$/);
      t.equal(received, sent);
      for (const weft of wefts) t.strictSame(await refusedBy(weft), {}, weft.node.name);
      t.strictSame(await damageIn(lab), {}, 'no network stack counts a broken packet');
      await superpacketsUsed(t, level, ...wefts);
    });
  }
});
