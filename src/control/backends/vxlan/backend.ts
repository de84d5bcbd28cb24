/**
 * flannel's vxlan backend: a TAP `flannel.<VNI>`, or `flannel-v6.<VNI>` for IPv6 over IPv6, with the lease's MAC. A peer is
 * a neighbour and a route in the kernel, and an FDB entry in the dataplane.
 */

import { FAMILIES, type Family } from '../../addresses/family.js';
import { splitMac } from '../../addresses/mac.js';
import { OVERHEAD, OVERHEAD6, type VxlanConf, vxlanDevice } from '../../config/net-conf.js';
import { vxlanSysctls } from '../../kernel/sysctls.js';
import { vtepMacOf } from '../../leases/lease.js';
import type { Backend } from '../backend.js';
import { VxlanPeers } from './peers.js';

export function vxlanBackend(conf: VxlanConf, family: Family): Backend {
  const { vni, port, directRouting } = conf;
  const device = vxlanDevice(vni, family);
  // The dataplane learns no IPv6 addresses.
  const learning = conf.learning && family === 'ipv4';
  return {
    conf,
    device,
    devices: FAMILIES.map((each) => vxlanDevice(vni, each)),
    rivals: /^flannel\d+$/,
    overhead: family === 'ipv4' ? OVERHEAD.vxlan : OVERHEAD6,
    summary: `VXLAN config: VNI=${vni} Port=${port} GBP=${conf.gbp} Learning=${learning} DirectRouting=${directRouting}`,
    learning,
    // Learning exists to find VTEPs that have no lease.
    peerCheck: learning ? 'off' : 'strict',
    sysctls: vxlanSysctls(device, family),
    followsRouting: directRouting,
    tunnel: (_, peerCheck) => ({ type: 'vxlan', vni, peerCheck, learning }),
    setOwnLease: (dataplane, own) => {
      const { high, low } = splitMac(vtepMacOf(own));
      return dataplane.setOwnMac(high, low);
    },
    peers: (dataplane, options) =>
      new VxlanPeers(dataplane, { ...options, directRouting, learning: conf.learning }),
  };
}
