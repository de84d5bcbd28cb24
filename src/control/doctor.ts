/** The dry run of `weft doctor`: everything that `weft run` checks before it changes anything. */

import { commonObstacle, demandFastPath } from './fast-path-obstacle.js';
import { Firewall } from './firewall/firewall.js';
import { readJournal } from './journal.js';
import type { Cluster, LeaseSource } from './leases/source.js';
import { familyFacts, nodeChecks } from './obstacles/checks.js';
import { findObstacles } from './obstacles/obstacle-watch.js';
import { refuseTakenPort } from './open-dataplane.js';
import type { RunOptions } from './options.js';
import {
  boundAddress,
  type FamilyPlan,
  firewallOptions,
  formatEndpoint,
  makePlan,
  underlayTracker,
} from './plan.js';

export interface Rehearsal {
  /** A line about what would run. */
  summary: string;
  /** A line about the fast path. */
  fastPath: string;
  /** What this machine or its kernel lacks for the rules, and the obstacles to packets. */
  warnings: string[];
}

/** Checks this configuration. @throws UserError naming the first problem that keeps `weft run` from starting */
export async function rehearse(
  options: RunOptions,
  source: LeaseSource,
  cluster: Cluster,
  signal: AbortSignal,
): Promise<Rehearsal> {
  const underlay = await underlayTracker(options, cluster).choose();
  const earlier = await readJournal(options.runDir);
  const plan = await makePlan(options, cluster, underlay, {
    handovers: new Map(),
    recorded: earlier?.devices ?? [],
  });
  demandFastPath(options.offload, plan.families);
  const rules = firewallOptions(options, plan.netConf);
  const firewall = await Firewall.open(rules);
  const sets = await source.preview(plan.request, signal);
  const devices = plan.families.map((family) => {
    const { backend, mtu, link, address } = family;
    const lease = sets[family.family]?.own ?? address;
    refuseTakenPort(family, plan.links, lease);
    return `${backend.device} with MTU ${mtu} over ${link.name}, UDP ${formatEndpoint(boundAddress(family, lease), backend.conf.port)}`;
  });
  const facts = plan.families.map((family) => {
    const { address, network } = family;
    const unknown = { subnet: network, publicIp: address.publicIp, vtepMac: undefined };
    const { own, peers } = sets[family.family] ?? { own: unknown, peers: [] };
    return familyFacts(family, own, peers);
  });
  const losses = await Promise.all(facts.map((known) => firewall.probe(known)));
  const obstacles = await findObstacles(nodeChecks(firewall), facts);
  return {
    fastPath: fastPathText(options, plan.families),
    summary: `backend ${plan.netConf.backend.type}: ${devices.join('; ')}`,
    warnings: [...firewall.limitations, ...losses.flat(), ...obstacles.map(({ message }) => message)],
  };
}

/** Returns whether the fast path can be used, and why not. */
function fastPathText({ offload }: RunOptions, plans: readonly FamilyPlan[]): string {
  const reason = commonObstacle(offload, plans);
  return reason === null ? 'fast path: BPF programs can be used' : `fast path: not used (${reason})`;
}
