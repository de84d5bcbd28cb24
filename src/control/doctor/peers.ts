/** The verdict on each peer, from the probes of the dataplane: which peer is affected, and why. */

import { type ProbeResult, probePeers } from '../../dataplane/dataplane.js';
import { SystemError } from '../../sys/system-error.js';
import { formatIp, type Ip, parseIp, toUnderlay } from '../addresses/ip.js';
import { shellWord } from '../support/printable.js';
import { UserError } from '../support/user-error.js';
import type { FamilyView, NodeFacts, PeerView } from './facts.js';
import { type Finding, problem } from './finding.js';

export type Verdict =
  | 'healthy'
  | 'underlay-unreachable'
  | 'udp-port-filtered'
  | 'path-mtu-too-small'
  | 'wrong-source-address'
  | 'changed-mac'
  | 'ping-filtered';

/** A peer in the answer of `weft doctor --peers --json`. */
export interface PeerReport {
  publicIP: string;
  subnet: string;
  verdict: Verdict;
  /** Milliseconds to the reply of a small and of a full-size packet, underneath the tunnel and through it. */
  underlay: RoundTrips;
  tunnel: RoundTrips;
  /** The largest packet of the underlay that arrives, in bytes, if it is smaller than the tunnel's. */
  pathMTU: number | null;
  /** The address from which the peer's packets come, if it is not its public IP. */
  seenFrom: string | null;
  /** The MAC of its overlay device, if it is not that of its lease. */
  seenMAC: string | null;
}

export interface RoundTrips {
  small: number | null;
  full: number | null;
}

export interface PeerProbe {
  peers: PeerReport[];
  findings: Finding[];
}

/** Probes all peers of all families. @throws UserError without CAP_NET_RAW */
export function examinePeers(facts: NodeFacts): PeerProbe {
  const peers: PeerReport[] = [];
  const findings: Finding[] = [];
  for (const family of facts.families) {
    const results = probeFamily(facts, family);
    family.peers.forEach((peer, index) => {
      const result = results[index] as ProbeResult;
      const report = reportOf(peer, result);
      peers.push(report);
      const finding = findingOfPeer(family, peer, report, result);
      if (finding !== undefined) findings.push(finding);
    });
  }
  return { peers, findings };
}

function probeFamily(facts: NodeFacts, family: FamilyView): ProbeResult[] {
  const { address, port, mtu, overhead, vtepMac, overlayAddress, peers } = family;
  const { vni } = facts;
  const vxlan =
    family.family === 'ipv4' && vni !== null && vtepMac !== null
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

/** Draws the conclusion from all evidence about a peer. */
export function reportOf({ publicIp, subnet, vtepMac }: PeerView, result: ProbeResult): PeerReport {
  const { underlaySmall, underlayFull, tunnelSmall, tunnelFull, pathMtu, sightings } = result;
  const foreign = sightings.find((seen) => formatIp(seen.outerSource >>> 0) !== publicIp);
  const changed = sightings.find(({ innerMac }) => vtepMac !== null && innerMac !== vtepMac);
  const expected = sightings.find(({ arpReply }) => arpReply);
  return {
    publicIP: publicIp,
    subnet,
    verdict: verdict(),
    underlay: { small: rounded(underlaySmall), full: rounded(underlayFull) },
    tunnel: { small: rounded(tunnelSmall), full: rounded(tunnelFull) },
    pathMTU: pathMtu,
    seenFrom: foreign === undefined ? null : formatIp(foreign.outerSource >>> 0),
    seenMAC: changed?.innerMac ?? null,
  };

  function verdict(): Verdict {
    if (tunnelSmall !== null) {
      // Fragments may pass: then full-size packets arrive, but only without DF underneath.
      const isNarrow = tunnelFull === null || (underlaySmall !== null && underlayFull === null);
      return isNarrow ? 'path-mtu-too-small' : 'healthy';
    }
    if (foreign !== undefined) return 'wrong-source-address';
    if (changed !== undefined) return 'changed-mac';
    // The peer's kernel has answered through the tunnel, but not to a ping.
    if (expected !== undefined) return 'ping-filtered';
    return underlaySmall !== null || result.portUnreachable ? 'udp-port-filtered' : 'underlay-unreachable';
  }
}

function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 100) / 100;
}

function findingOfPeer(
  { port, mtu, overhead, device, underlay }: FamilyView,
  { publicIp, subnet, vtepMac }: PeerView,
  { verdict, pathMTU, seenFrom, seenMAC, tunnel }: PeerReport,
  { refused, unreachableCode, portUnreachable }: ProbeResult,
): Finding | undefined {
  const peer = `peer ${publicIp} (${subnet})`;
  const lost = "Pods here do not reach that node's pods.";
  switch (verdict) {
    case 'healthy':
      return undefined;
    case 'underlay-unreachable': {
      const how =
        refused !== null
          ? `this node cannot send to it: ${refused}`
          : unreachableCode !== null
            ? `a router answers that it is unreachable (ICMP code ${unreachableCode})`
            : 'it answers neither a ping nor the tunnel';
      return problem(
        'underlay-unreachable',
        'error',
        `${peer}: ${how}`,
        `${lost} The node is down, its public IP is wrong, or the network between is broken.`,
        `ip route get ${publicIp}`,
      );
    }
    case 'udp-port-filtered': {
      const how = portUnreachable
        ? `UDP port ${port} is refused (ICMP port unreachable)`
        : `it answers pings, but nothing through UDP port ${port}`;
      return problem(
        'udp-port-filtered',
        'error',
        `${peer}: ${how}`,
        `${lost} A firewall drops the tunnel's datagrams, or no Weft or flanneld runs there.`,
        `iptables -I INPUT -p udp --dport ${port} -j ACCEPT   # on ${publicIp}`,
      );
    }
    case 'path-mtu-too-small': {
      const found = pathMTU === null ? `less than ${mtu + overhead} bytes` : `${pathMTU} bytes`;
      const isLost = tunnel.full === null;
      const value = pathMTU ?? 1280;
      return problem(
        'path-mtu-too-small',
        isLost ? 'error' : 'warning',
        `${peer}: the path carries packets of ${found}, and the tunnel sends ${mtu + overhead}`,
        isLost
          ? 'Full packets of pods are lost: connections start, then hang.'
          : 'Full packets of pods travel in fragments, which are slow and which many firewalls drop.',
        `ip link set ${shellWord(underlay)} mtu ${value}   # or "MTU": ${value} in Backend of net-conf.json on every node`,
      );
    }
    case 'wrong-source-address':
      return problem(
        'wrong-source-address',
        'error',
        `${peer}: its packets come from ${seenFrom}, which is not its public IP`,
        `${lost} Weft drops packets from an address without a lease. NAT or a second address changes it.`,
        `weft run --public-ip ${seenFrom} …   # on that node; behind NAT --peer-check mac here`,
      );
    case 'changed-mac':
      return problem(
        'changed-mac',
        'error',
        `${peer}: its device has the MAC ${seenMAC}, and its lease says ${vtepMac}`,
        `${lost} Its kernel drops frames for the MAC of the lease.`,
        `ip link set ${shellWord(device)} address ${vtepMac}   # on ${publicIp}`,
      );
    case 'ping-filtered':
      return problem(
        'ping-filtered',
        'warning',
        `${peer}: it answers ARP through the tunnel, but no ping`,
        'The tunnel works in both directions; a firewall of that node drops ICMP, so the MTU is not known.',
        `iptables -I INPUT -i ${shellWord(device)} -p icmp -j ACCEPT   # on ${publicIp}`,
      );
  }
}
