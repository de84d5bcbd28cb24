/** The obstacle checks of a running node. */

import type { FamilyTunnel } from '../node/family-tunnel.js';
import { familyFacts, runningChecks } from './checks.js';
import type { UsedFirewall } from './firewall.js';
import { ObstacleWatch } from './obstacle-watch.js';
import { figuresOf } from './peer-figures.js';

/** Starts the checks on the present state of the tunnels. */
export function watchObstacles(firewall: UsedFirewall, tunnels: readonly FamilyTunnel[]): ObstacleWatch {
  const groups = runningChecks(firewall, ({ family }) => {
    const tunnel = tunnels.find(({ plan }) => plan.family === family);
    return tunnel && figuresOf(tunnel.dataplane);
  });
  return new ObstacleWatch(groups, () =>
    tunnels.map(({ plan, own, peers }) => familyFacts(plan, own, peers.leases)),
  );
}
