/** Configurations as net-conf.json gives them. */

import type { VxlanConf } from '../../src/control/config/net-conf.js';

/** flannel's defaults. */
export const VXLAN: VxlanConf = {
  type: 'vxlan',
  vni: 1,
  port: 8472,
  outerMtu: undefined,
  learning: false,
  directRouting: false,
  gbp: false,
};
