/** Answers of a running Weft, for the commands that show them. */

import type { PeerStatus } from '../../src/control/backends/backend.js';
import type { Status } from '../../src/control/node/status.js';

export const STATUS = {
  version: '0.1.0',
  pid: 4711,
  uptimeSeconds: 3661,
  notReady: null,
  capture: null,
  backend: { type: 'vxlan', vni: 1, port: 8472 },
  device: { name: 'flannel.1', mac: '02:00:00:00:00:01', mtu: 1450, address: '10.244.1.0/32', up: true },
  underlay: { interface: 'eth0', address: '192.168.77.1', publicIP: '192.168.77.1', mtu: 1500, absent: null },
  lease: { subnet: '10.244.1.0/24', publicIP: '192.168.77.1', vtepMAC: '02:00:00:00:00:01' },
  leaseSource: { name: '/etc/weft/leases.json', refused: null, trouble: null, ageSeconds: 60 },
  offload: {
    rung: 'bpf',
    uso: true,
    nextReason: null,
    fastPath: { on: true, attached: 'TCX', reason: null, chosen: true },
    transmit: { level: 'gso', reason: null },
    receive: { level: 'gso', reason: null },
  },
  workers: 2,
  privileges: { capabilities: ['CAP_NET_ADMIN'], noNewPrivileges: true, threadsWithMore: 0, problems: [] },
  obstacles: [],
  peerCheck: 'strict',
  peers: [],
  repairs: {},
  learned: null,
  counters: {},
} as Status;

/** Returns a healthy peer of backend vxlan, with other fields if given. */
export function peerStatus<Fields extends object>(index: number, fields: Fields): PeerStatus & Fields {
  return {
    subnet: `10.244.${index}.0/24`,
    publicIP: `192.168.77.${index}`,
    vtepMAC: `02:00:00:00:00:${(index % 256).toString(16).padStart(2, '0')}`,
    neighbour: true,
    fdb: true,
    route: true,
    ...fields,
  };
}
