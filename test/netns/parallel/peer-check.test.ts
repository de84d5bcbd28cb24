/** Every mode of --peer-check against every kind of source. */

import t from 'tap';
import {
  counted,
  LEASED_MAC,
  makeDropBed,
  mark,
  request,
  STRANGE_MAC,
  UNKNOWN_SOURCE,
} from '../support/drop-bed.js';
import { statusOf } from '../support/state.js';

for (const [mode, verdicts] of [
  ['strict', ['rx_packets', 'rx_drop_wrong_source_mac', 'rx_drop_wrong_source_mac', 'rx_drop_unknown_vtep']],
  ['mac', ['rx_packets', 'rx_packets', 'rx_drop_wrong_source_mac', 'rx_packets']],
  ['off', ['rx_packets', 'rx_packets', 'rx_packets', 'rx_packets']],
] as const) {
  t.test(`--peer-check ${mode} accepts and drops datagrams by source`, async (t) => {
    const bed = await makeDropBed(t, `check${mode}`, { flags: ['--peer-check', mode] });
    t.equal((await statusOf(bed.weft)).peerCheck, mode);
    await mark(bed);
    const senders = [
      ["a lease's MAC from its address", request(), {}],
      ["a lease's MAC from another lease's address", request({ sourceMac: LEASED_MAC }), {}],
      ['a MAC of no lease from a known address', request({ sourceMac: STRANGE_MAC }), {}],
      ["a lease's MAC from an unknown address", request(), { from: UNKNOWN_SOURCE }],
    ] as const;
    for (const [index, [what, datagram, from]] of senders.entries()) {
      const verdict = verdicts[index];
      const { tx_packets, ...changes } = await counted(bed, () => bed.peer.send(datagram, from));
      t.strictSame(changes, { [verdict]: 1 }, `${what}: ${verdict}`);
    }
  });
}
