/** The choice of the backend. */

import type { Family } from '../addresses/family.js';
import type { BackendConf } from '../config/net-conf.js';
import type { Backend } from './backend.js';
import { udpBackend } from './udp.js';
import { vxlanBackend } from './vxlan/backend.js';

/** Returns the backend that net-conf names; udp carries IPv4 only. */
export function backendFor(conf: BackendConf, family: Family): Backend {
  return conf.type === 'udp' ? udpBackend(conf) : vxlanBackend(conf, family);
}
