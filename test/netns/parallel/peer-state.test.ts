/** What `weft status` knows of each peer: state, last packet, last drop, path. */

import t from 'tap';
import { exec } from '../../../lab/exec.js';
import { until } from '../../../lab/until.js';
import { schemaErrors } from '../../support/status-schema.js';
import {
  LEASED_MAC,
  makeDropBed,
  mark,
  PEER_MAC,
  request,
  STRANGE_MAC,
  UNKNOWN_SOURCE,
} from '../support/drop-bed.js';
import { statusOf } from '../support/state.js';

for (const [level, path] of [
  ['gso', 'userspace'],
  ['bpf', 'bpf'],
] as const)
  t.test(`level ${level}: weft status tells a peer that answers from one that never did`, async (t) => {
    const bed = await makeDropBed(t, `peerstate-${level}`, { flags: ['--offload', level] });
    const peers = async () => {
      const status = await statusOf(bed.weft);
      t.strictSame(schemaErrors(status), []);
      return new Map(status.peers.map((peer) => [peer.vtepMAC, peer]));
    };
    t.match((await peers()).get(LEASED_MAC), { state: 'unused', heardAgeSeconds: null, lastDrop: null });
    await mark(bed);
    const { netns } = bed.lab.node(1);
    // Nothing answers there.
    await exec(['ping', '-c', '1', '-W', '1', '10.244.3.0'], { netns }).catch(() => {});
    const after = await peers();
    t.match(after.get(PEER_MAC), { state: 'reachable', lastDrop: null, path });
    t.ok((after.get(PEER_MAC)?.heardAgeSeconds ?? 99) < 60);
    t.match(after.get(LEASED_MAC), { state: 'neverHeard', heardAgeSeconds: null });
    t.ok((after.get(LEASED_MAC)?.txBytes ?? 0) > 0);
    t.match(
      await bed.weft.statusText(),
      /^peers with problems \(1\)\n {2}10\.244\.3\.0\/24 at 192\.168\.77\.3: never heard$/m,
    );

    const lastDrop = (mac: string, reason: string) =>
      until(`the drop ${reason}`, async () => (await peers()).get(mac)?.lastDrop?.reason === reason);
    await bed.peer.send(request({ sourceMac: STRANGE_MAC }));
    await lastDrop(PEER_MAC, 'rx_drop_wrong_source_mac');
    await bed.peer.send(request({ sourceMac: LEASED_MAC }), { from: UNKNOWN_SOURCE });
    await lastDrop(LEASED_MAC, 'rx_drop_unknown_vtep');
    t.match(await bed.weft.statusText(), /^ {6}last drop \d+s ago: rx_drop_wrong_source_mac$/m);
  });
