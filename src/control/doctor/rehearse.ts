/** The dry run of `weft doctor`: everything that `weft run` checks before it changes anything. */

import { commonObstacle, demandFastPath } from '../fast-path-obstacle.js';
import { Firewall } from '../firewall/firewall.js';
import { readJournal } from '../journal.js';
import type { Cluster, LeaseSource } from '../leases/source.js';
import { familyFacts, nodeChecks } from '../obstacles/checks.js';
import { findObstacles } from '../obstacles/obstacle-watch.js';
import { refuseTakenPort } from '../open-dataplane.js';
import type { RunOptions } from '../options.js';
import {
  boundAddress,
  type FamilyPlan,
  firewallOptions,
  formatEndpoint,
  makePlan,
  underlayTracker,
} from '../plan.js';
import { familyView, type NodeFacts, usesTls } from './facts.js';
import { type Finding, findingOf, findingOfLimitation, findingOfObstacle, ok } from './finding.js';

export interface Rehearsal {
  facts: NodeFacts;
  /** The devices that would run, or what keeps them from it; then what may keep packets from passing. */
  findings: Finding[];
}

/**
 * Checks this configuration. `userspaceLevel` is the level without the fast path. @throws UserError naming the first
 * problem that keeps Weft from making a plan
 */
export async function rehearse(
  options: RunOptions,
  source: LeaseSource,
  cluster: Cluster,
  signal: AbortSignal,
  userspaceLevel: 'none' | 'gso',
): Promise<Rehearsal> {
  const underlay = await underlayTracker(options, cluster).choose();
  const earlier = await readJournal(options.runDir);
  const plan = await makePlan(options, cluster, underlay, {
    handovers: new Map(),
    recorded: earlier?.devices ?? [],
  });
  demandFastPath(options.offload, plan.families);
  const { backend } = plan.netConf;
  const firewall = await Firewall.open(firewallOptions(options, plan.netConf));
  const sets = await source.preview(plan.request, signal);
  const start = plan.families.map((family): Finding => {
    const { backend, mtu, link, address } = family;
    const lease = sets[family.family]?.own ?? address;
    try {
      refuseTakenPort(family, plan.links, lease);
    } catch (error) {
      return findingOf(error);
    }
    const endpoint = formatEndpoint(boundAddress(family, lease), backend.conf.port);
    return ok(
      'backend',
      `backend ${backend.conf.type}: ${backend.device} with MTU ${mtu} over ${link.name}, UDP ${endpoint}`,
    );
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
    facts: {
      backend: backend.type,
      vni: backend.type === 'vxlan' ? backend.vni : null,
      subnetFile: options.subnetFile,
      podMtu: plan.podMtu,
      tls: usesTls(options),
      level: levelOf(options, plan.families, userspaceLevel),
      families: plan.families.map((family) => {
        const set = sets[family.family];
        return familyView(family, set?.own, set?.peers ?? []);
      }),
    },
    findings: [
      ...start,
      ...firewall.detours.map((line) => ok('firewall', line)),
      ...[...firewall.limitations, ...losses.flat()].map(findingOfLimitation),
      ...obstacles.map(findingOfObstacle),
    ],
  };
}

function levelOf(
  { offload }: RunOptions,
  plans: readonly FamilyPlan[],
  userspaceLevel: 'none' | 'gso',
): NodeFacts['level'] {
  const reason = commonObstacle(offload, plans);
  return reason === null ? { name: 'bpf', reason: null } : { name: userspaceLevel, reason };
}
