/** The list of all obstacle checks of a node. */

import type { Lease } from '../leases/lease.js';
import { boundAddress, type FamilyPlan } from '../plan.js';
import { checkBridges } from './cni-bridge.js';
import { checkDirectRouting } from './direct-routing.js';
import { firewallCheck, type UsedFirewall } from './firewall.js';
import { checkForwarding } from './forwarding.js';
import { checkLocalPeers } from './local-peer.js';
import type { FamilyFacts, Obstacle, ObstacleCheck } from './obstacle.js';
import type { CheckGroup } from './obstacle-watch.js';
import { type FiguresOf, refusedPeers, silentPeers } from './peers.js';
import { checkRouterAdvertisements } from './router-advertisements.js';

/** Most obstacles last. */
const NODE_PERIOD_MS = 60_000;
/** These checks read a few files and counters, and run no command. */
const LIGHT_PERIOD_MS = 2000;
/**
 * The figures of many peers are a long list. Of the fast path, `weft status` knows the times of the packets only to
 * within this period (fast-path/times.ts).
 */
const SILENT_PERIOD_MS = 5000;

/** Returns the checks that need no running Weft. */
export function nodeChecks(firewall: UsedFirewall): ObstacleCheck[] {
  return [checkSysctls, ...commandChecks(firewall)];
}

function checkSysctls(facts: FamilyFacts): Promise<Obstacle[]> {
  return checkForwarding(facts);
}

/** Returns the checks that run commands. */
function commandChecks(firewall: UsedFirewall): ObstacleCheck[] {
  return [
    checkBridges,
    checkLocalPeers,
    (facts, signal) => checkRouterAdvertisements(facts, '/proc/sys', signal),
    checkDirectRouting,
    firewallCheck(firewall),
  ];
}

/** Returns all checks of a running node. */
export function runningChecks(firewall: UsedFirewall, figuresOf: FiguresOf): CheckGroup[] {
  return [
    { checks: [checkSysctls, refusedPeers(figuresOf)], everyMs: LIGHT_PERIOD_MS },
    { checks: commandChecks(firewall), everyMs: NODE_PERIOD_MS },
    { checks: [silentPeers(figuresOf)], everyMs: SILENT_PERIOD_MS },
  ];
}

/** Returns what the checks know of a family. */
export function familyFacts(plan: FamilyPlan, own: Lease, peers: readonly Lease[]): FamilyFacts {
  const { family, backend, link, network } = plan;
  return {
    family,
    device: backend.device,
    underlay: link.name,
    address: boundAddress(plan, own),
    port: backend.conf.port,
    network,
    subnet: own.subnet,
    peers,
    directRouting: backend.followsRouting,
  };
}
