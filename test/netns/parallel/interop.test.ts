/**
 * Weft, at every offload level, and the kernel's vxlan in one cluster. The kernel peer leaves checksums and
 * segmentation to its network card.
 */

import t from 'tap';
import { startKernel } from '../../../lab/dataplanes/kernel.js';
import { atLevel, LEVELS, makeBed, startWeft, withKernelVxlan } from '../support/bed.js';
import { damageIn, refusedBy } from '../support/harm.js';
import { answered } from '../support/pings.js';
import { statusOf } from '../support/state.js';
import { datagrams, segmentedDatagrams, stream } from '../support/transfer.js';

const MEGABYTE = 1 << 20;
const options = await withKernelVxlan();

for (const mode of ['virt', 'plain'] as const) {
  for (const udpcsum of [true, false]) {
    const name = `${mode}-${udpcsum ? 'csum' : 'nocsum'}`;
    const title = `a kernel peer with ${udpcsum ? 'udpcsum' : 'noudpcsum'} on a ${mode} link`;
    t.test(title, options, async (t) => {
      const lab = await makeBed(t, { name, mode });
      await startKernel(lab.node(2), { udpcsum });
      const [ours, theirs] = [lab.pod(1), lab.pod(2)];
      const paths = [
        ['to the kernel', ours, theirs],
        ['from the kernel', theirs, ours],
      ] as const;

      for (const level of LEVELS) {
        await t.test(`and Weft at offload level ${level}`, async (t) => {
          const weft = await startWeft(t, lab.node(1), atLevel(level));
          t.equal((await statusOf(weft)).offload.rung, level);

          for (const [way, from, to] of paths) {
            await t.test(`pings are answered ${way}`, async (t) => {
              for (const size of [0, 56, 1422, 8000]) {
                await answered(t, from, to.address, `${size} bytes of payload`, { size });
              }
            });

            await t.test(`TCP arrives unharmed ${way}`, async (t) => {
              const { sent, received } = await stream(from, to, 24 * MEGABYTE);
              t.equal(received, sent);
            });

            await t.test(`UDP datagrams arrive ${way}`, async (t) => {
              for (const size of [64, 1400, 8000]) {
                t.equal(await datagrams(from, to, 250, size), 'whole 250 damaged 0', `${size} bytes`);
              }
            });

            await t.test(`superpackets of UDP_SEGMENT arrive as their datagrams ${way}`, async (t) => {
              t.equal(await segmentedDatagrams(from, to, 400, 1200), 'whole 400 damaged 0');
            });
          }

          await t.test('TCP arrives unharmed both ways at once', async (t) => {
            for (const { sent, received } of await Promise.all(
              paths.map(([, from, to]) => stream(from, to, 24 * MEGABYTE)),
            )) {
              t.equal(received, sent);
            }
          });

          await t.test('no network stack on the path counts a broken packet', async (t) => {
            t.strictSame(await refusedBy(weft), {}, 'Weft drops nothing');
            t.strictSame(await damageIn(lab), {}, 'nor does a kernel');
          });

          await t.test('superpackets and partial checksums arrive over a virtual link only', async (t) => {
            const { counters } = await statusOf(weft);
            const { rx_superpackets, rx_partial_checksums, rx_packets } = counters;
            if (level === 'bpf') {
              const enough = mode === 'virt' ? 0 : Number(rx_packets) / 2;
              t.ok(Number(counters.fast_rx_packets) > enough, 'packets take the fast path');
              return;
            }
            t.equal(Number(rx_superpackets) > 0, mode === 'virt', `${rx_superpackets} superpackets`);
            // Now and then a complete checksum looks partial; completing it changes nothing. A superpacket has one checksum,
            // and counts as its segments.
            t.equal(
              Number(rx_partial_checksums) > Number(rx_packets) / 1000,
              mode === 'virt',
              `${rx_partial_checksums} completed, of ${rx_packets}`,
            );
          });
        });
      }
    });
  }
}

t.test('Weft nodes of all offload levels and a kernel node in one cluster:', options, async (t) => {
  const lab = await makeBed(t, { name: 'mixed', nodes: 4 });
  const wefts = await Promise.all(
    LEVELS.map((level, index) => startWeft(t, lab.node(index + 1), atLevel(level))),
  );
  await startKernel(lab.node(4));
  await t.test('every pod reaches every other pod', async (t) => {
    for (const from of [1, 2, 3, 4]) {
      for (const to of [1, 2, 3, 4].filter((node) => node !== from)) {
        await answered(t, lab.pod(from), lab.pod(to).address, `node ${from} to node ${to}`);
      }
    }
  });
  await t.test(
    'TCP arrives unharmed round the ring, and in both directions between the offload levels',
    async (t) => {
      for (const [from, to] of [
        [1, 2],
        [2, 1],
        [2, 3],
        [3, 2],
        [3, 4],
        [4, 1],
      ] as const) {
        const { sent, received } = await stream(lab.pod(from), lab.pod(to), 8 * MEGABYTE);
        t.equal(received, sent, `node ${from} to node ${to}`);
      }
    },
  );
  await t.test('no node drops a packet', async (t) => {
    for (const weft of wefts) t.strictSame(await refusedBy(weft), {}, weft.node.name);
  });
});
