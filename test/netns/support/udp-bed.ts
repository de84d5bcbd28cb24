/** Weft with backend udp and a hand-made peer that sends it the packets of a test. */

import type { Test } from 'tap';
import type { WeftOptions } from '../../../lab/dataplanes/weft.js';
import { ipBatch } from '../../../lab/ip.js';
import { udpConf } from '../../../lab/leases.js';
import { icmpEcho, ipv4 } from '../peer/frames.js';
import { HandmadePeer, UDP_PEER } from '../peer/handmade.js';
import { makeBed, startWeft } from './bed.js';
import { type Bed, counted } from './drop-bed.js';
import type { Counters } from './state.js';

export const UDP_DEVICE = 'flannel0';

/** A second address of the peer node, without a lease. */
export const UDP_UNKNOWN_SOURCE = { address: '192.168.77.22', port: 8285 };

/** Weft on node 1, a hand-made peer on node 2, a lease for a node 3 that does not exist. */
export async function makeUdpBed(t: Test, name: string, options: WeftOptions = {}): Promise<Bed> {
  const lab = await makeBed(t, { name, mode: 'plain' });
  await ipBatch(lab.node(2).netns, [`address add ${UDP_UNKNOWN_SOURCE.address}/24 dev ub`]);
  const leases = [
    { Subnet: '10.244.1.0/24', PublicIP: '192.168.77.1' },
    { Subnet: '10.244.2.0/24', PublicIP: '192.168.77.2' },
    { Subnet: '10.244.3.0/24', PublicIP: '192.168.77.3' },
  ];
  const peer = await HandmadePeer.start(lab.node(2), lab.node(1), { answers: ['10.244.2.99'] }, UDP_PEER);
  return { lab, peer, weft: await startWeft(t, lab.node(1), { leases, netConf: udpConf(), ...options }) };
}

let sequence = 0;

/** Returns a valid echo request from the peer to the node's own tunnel address, changed in these fields. */
export function packet(fields: { readonly from?: string; readonly to?: string } = {}): Buffer {
  const message = icmpEcho(8, 0x7766, ++sequence, Buffer.from('weft netns test'));
  return ipv4(fields.from ?? '10.244.2.11', fields.to ?? '10.244.1.0', 1, message);
}

/** Sends a good echo request and waits for its reply, which shows that everything sent before has been handled. */
export async function markUdp({ peer }: Bed): Promise<void> {
  await peer.send(packet());
  const wanted = sequence;
  await peer.waitForEcho(
    'the reply to a good request',
    (echo) => echo.type === 0 && echo.sequence === wanted,
  );
}

/** Runs `counted` with the good echo of backend udp. */
export function countedUdp(bed: Bed, act: () => Promise<void>): Promise<Counters> {
  return counted(bed, act, markUdp);
}
