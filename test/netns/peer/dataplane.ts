/**
 * A dataplane without control: it forwards with one peer list while its parent keeps the IPC channel open, and sends
 * its counters on request. Its argument is a DataplaneSetting as JSON; the parent brings the device up.
 */

import { Dataplane, type FdbEntry, type Ipv6Address } from '../../../src/dataplane/dataplane.js';
import type { DataplaneSetting } from '../support/underlay6-bed.js';

const setting = JSON.parse(process.argv[2] ?? '{}') as DataplaneSetting;

function entry(vtepMac: string, address: Ipv6Address): FdbEntry {
  const bytes = Buffer.from(vtepMac.replaceAll(':', ''), 'hex');
  return { high: bytes.readUInt16BE(0), low: bytes.readInt32BE(2), address };
}

const dataplane = new Dataplane({
  device: setting.device,
  origin: 'create',
  address: setting.address,
  port: 8472,
  workers: 1,
  offload: setting.level,
  gsoRuns: 'auto',
  busyPoll: 0,
  podMtu: setting.mtu,
  tunnel: { type: 'vxlan', vni: 1, peerCheck: 'strict', learning: false },
});
await dataplane.start({
  onFailure: (error) => {
    throw error;
  },
  onThreadTrouble: (message) => console.error(message),
  onOffloadFallback: (direction, reason) => console.error(`${direction} falls back: ${reason}`),
});
const own = entry(setting.vtepMac, setting.address);
await dataplane.setOwnMac(own.high, own.low);
await dataplane.updateFdb({
  remove: [],
  set: setting.peers.map(({ vtepMac, address }) => entry(vtepMac, address)),
});
process.on('message', () => process.send?.(dataplane.counters()));
process.on('disconnect', () => process.exit());
process.send?.('ready');
