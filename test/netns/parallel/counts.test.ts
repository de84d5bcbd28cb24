/** Packets and bytes mean the same at every level: both nodes, the peer and the total agree, in status and metrics. */

import { readFile } from 'node:fs/promises';
import t from 'tap';
import { ping } from '../../../lab/traffic/ping.js';
import { atLevel, LEVELS, makeBed, startWefts } from '../support/bed.js';
import { scrapePage, valueIn } from '../support/scrape.js';
import { statusOf } from '../support/state.js';
import { segmentedDatagrams, stream } from '../support/transfer.js';

const PORT = '8081';
const BYTES = 2_000_000;

for (const level of LEVELS) {
  for (const mode of ['plain', 'virt'] as const) {
    t.test(`level ${level}, ${mode}: what one node has sent is what the other has received`, async (t) => {
      const lab = await makeBed(t, { name: `counts-${level}-${mode}`, mode });
      const wefts = await startWefts(t, lab.nodes, atLevel(level, '--healthz-port', PORT));
      const [one, two] = [lab.pod(1), lab.pod(2)];
      await stream(one, two, BYTES);
      await segmentedDatagrams(two, one, 400, 1000);
      await ping(one.netns, two.address, { count: 7, size: 1000 });
      const [sent, received] = await Promise.all(wefts.map(statusOf));
      for (const [direction, back] of [
        ['tx', 'rx'],
        ['rx', 'tx'],
      ] as const) {
        const counts = {
          packets: sent.counters[`${direction}_packets`],
          bytes: sent.counters[`${direction}_bytes`],
        };
        t.ok(counts.bytes > 400 * 1000, `${direction}: ${JSON.stringify(counts)}`);
        const peer = sent.peers[0];
        t.same(
          { packets: peer[`${direction}Packets`], bytes: peer[`${direction}Bytes`] },
          counts,
          'the peer',
        );
        const { [`${back}_packets`]: packets, [`${back}_bytes`]: bytes } = received.counters;
        t.same({ packets, bytes }, counts, 'the total of the other node');
        const other = received.peers[0];
        t.same({ packets: other[`${back}Packets`], bytes: other[`${back}Bytes`] }, counts, 'its peer');
      }
      // No packet is larger than the pods' MTU and the Ethernet header, and those of the stream fill it.
      const { tx_packets: packets, tx_bytes: bytes } = sent.counters;
      t.ok(bytes / packets <= 1464 && bytes / packets > 1000, `${bytes / packets} bytes per packet`);
      const page = await readFile(await scrapePage(lab.node(1), PORT), 'utf8');
      for (const direction of ['tx', 'rx'] as const)
        for (const kind of ['packets', 'bytes'] as const) {
          const count = sent.counters[`${direction}_${kind}`];
          const device = 'device="flannel.1"';
          t.equal(valueIn(page, `weft_${kind}_total{${device},direction="${direction}"}`), count);
          const peer = `${device},peer="${lab.node(2).address}",direction="${direction}"`;
          t.equal(valueIn(page, `weft_peer_${kind}_total{${peer}}`), count);
        }
    });
  }
}
