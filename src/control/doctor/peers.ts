/** The way to each peer, as the probes of the dataplane see it: which peer is affected, and why. */

import { type ProbeResult, probePeers } from '../../dataplane/dataplane.js';
import { SystemError } from '../../sys/system-error.js';
import { type Ip, parseIp, toUnderlay } from '../addresses/ip.js';
import type { Obstacle } from '../obstacles/obstacle.js';
import { UserError } from '../support/user-error.js';
import type { FamilyView, NodeFacts } from './facts.js';
import type { Finding } from './finding.js';
import { findingOfPeer } from './peer-findings.js';
import { asksForMacs, type PeerReport, reportOf } from './peer-verdict.js';

export interface PeerProbe {
  peers: PeerReport[];
  findings: Finding[];
}

/** Probes all peers of all families. `obstacles` are those of this node. @throws UserError without CAP_NET_RAW */
export function examinePeers(facts: NodeFacts, obstacles: readonly Obstacle[]): PeerProbe {
  const peers: PeerReport[] = [];
  const findings: Finding[] = [];
  for (const family of facts.families) {
    const results = probeFamily(facts, family);
    const barrier = obstacles.find(
      ({ key }) => /^firewall (?:input|output) (\w+)/.exec(key)?.[1] === family.family,
    );
    family.peers.forEach((peer, index) => {
      const result = results[index] as ProbeResult;
      const report = reportOf(family, peer, result, barrier);
      peers.push(report);
      const finding = findingOfPeer(family, peer, report, result, barrier);
      if (finding !== undefined) findings.push(finding);
    });
  }
  return { peers, findings };
}

function probeFamily(facts: NodeFacts, family: FamilyView): ProbeResult[] {
  const { address, port, mtu, overhead, vtepMac, overlayAddress, peers } = family;
  const { vni } = facts;
  const vxlan =
    asksForMacs(family) && vni !== null && vtepMac !== null
      ? { vni, mac: vtepMac, address: addressOf(overlayAddress) as number }
      : undefined;
  try {
    return probePeers(
      peers.map((peer) => ({ underlay: addressOf(peer.publicIp), tunnel: addressOf(peer.overlayAddress) })),
      {
        source: addressOf(address),
        port,
        mtu,
        overhead,
        ...(vxlan && { vxlan }),
      },
    );
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new UserError(`--peers: no raw socket can be opened (${error.message}); run weft doctor as root`, {
      id: 'capabilities',
      why: 'The probes are ICMP packets, for which this process needs CAP_NET_RAW.',
      fix: 'sudo weft doctor --peers',
    });
  }
}

function addressOf(text: string): ReturnType<typeof toUnderlay> {
  return toUnderlay(parseIp(text) as Ip);
}
