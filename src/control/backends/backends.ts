/** The backends that Weft has. */

import type { BackendConf } from '../config/net-conf.js';
import type { Backend } from './backend.js';
import { udpBackend } from './udp.js';
import { vxlanBackend } from './vxlan.js';

/** The backend that net-conf asks for. */
export function backendFor(conf: BackendConf): Backend {
  return conf.type === 'udp' ? udpBackend(conf) : vxlanBackend(conf);
}
