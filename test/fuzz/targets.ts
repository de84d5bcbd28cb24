/** All fuzz targets. */

import { silence } from '../../src/control/support/log.js';
import { packetTargets } from './packets/targets.js';
import type { Target } from './target.js';
import { LEASE_PARSERS } from './text/leases.js';
import { SYSTEM_PARSERS } from './text/system.js';
import { textTarget } from './text/target.js';

/** Returns all targets. Refused input is not logged from now on. */
export function allTargets(): Target[] {
  silence();
  return [...packetTargets(), ...[...LEASE_PARSERS, ...SYSTEM_PARSERS].map(textTarget)];
}
