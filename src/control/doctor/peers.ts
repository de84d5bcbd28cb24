/** The way to each peer, as the probes of the dataplane see it: which peer is affected, and why. */

import { type ProbeResult, probePeers } from '../../dataplane/dataplane.js';
import { SystemError } from '../../sys/system-error.js';
import { type Ip, parseIp, toUnderlay } from '../addresses/ip.js';
import type { Obstacle } from '../obstacles/obstacle.js';
import { UserError } from '../support/user-error.js';
import type { FamilyView, NodeFacts } from './facts.js';
import type { Finding } from './finding.js';
import { findingOfPeer, withCommonCause } from './peer-findings.js';
import { asksForMacs, type PeerReport, reportOf } from './peer-verdict.js';

export interface PeerProbe {
  peers: PeerReport[];
  findings: Finding[];
}

/** The key of an obstacle that keeps datagrams of the tunnel from passing, with its family. */
const BARRIER = /^firewall (?:input|output) (\w+)/;

/** Probes all peers of all families. `obstacles` are those of this node. @throws UserError without CAP_NET_RAW */
export function examinePeers(facts: NodeFacts, obstacles: readonly Obstacle[]): PeerProbe {
  const families = facts.families.map((family) => {
    const barrier = obstacles.find(({ key }) => BARRIER.exec(key)?.[1] === family.family);
    const results = probeFamily(facts, family);
    const reports = family.peers.map((peer, index) =>
      reportOf(family, peer, results[index] as ProbeResult, barrier),
    );
    const findings = family.peers.flatMap(
      (peer, index) =>
        findingOfPeer(family, peer, reports[index] as PeerReport, results[index] as ProbeResult, barrier) ??
        [],
    );
    return { peers: reports, findings: withCommonCause(reports, findings) };
  });
  return {
    peers: families.flatMap(({ peers }) => peers),
    findings: families.flatMap(({ findings }) => findings),
  };
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
