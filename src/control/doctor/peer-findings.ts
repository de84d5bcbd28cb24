/** The finding about a peer that is not reached as it should be: what its probes say, and what corrects it. */

import type { ProbeResult } from '../../dataplane/dataplane.js';
import type { Obstacle } from '../obstacles/obstacle.js';
import { shellWord } from '../support/printable.js';
import type { FamilyView, PeerView } from './facts.js';
import { type Finding, problem } from './finding.js';
import type { PeerReport, Verdict } from './peer-verdict.js';

const LOST = "Pods here do not reach that node's pods.";
/** What every path carries: RFC 8200. */
const SAFE_MTU = 1280;

/** Returns the finding of a peer; undefined if it is healthy. `barrier`: a firewall of this node that drops its datagrams. */
export function findingOfPeer(
  family: FamilyView,
  peer: PeerView,
  report: PeerReport,
  result: ProbeResult,
  barrier: Obstacle | undefined,
): Finding | undefined {
  const { device } = family;
  const { publicIp, subnet, vtepMac } = peer;
  const { verdict, seenFrom, seenMAC } = report;
  const name = `peer ${publicIp} (${subnet})`;
  const error = (what: string, why: string, fix: string): Finding | undefined =>
    verdict === 'healthy' ? undefined : problem(verdict, 'error', `${name}: ${what}`, `${LOST} ${why}`, fix);
  switch (verdict) {
    case 'healthy':
      return undefined;
    case 'underlay-unreachable':
      return error(...unreachable(family, peer, result));
    case 'udp-port-filtered':
      return error(...filtered(family, peer, result, barrier));
    case 'path-mtu-too-small':
      return narrowPath(name, family, report);
    case 'ping-filtered':
      return pingless(name, family, peer, result);
    case 'wrong-source-address':
      return error(
        `its packets come from ${seenFrom}, which is not its public IP`,
        'Weft drops packets from an address without a lease. NAT or a second address changes it.',
        `weft run --public-ip ${seenFrom} …   # on that node; behind NAT --peer-check mac here`,
      );
    case 'changed-mac':
      return error(
        `its device has the MAC ${seenMAC}, and its lease says ${vtepMac}`,
        'Its kernel drops frames for the MAC of the lease.',
        `ip link set ${shellWord(device)} address ${vtepMac}   # on ${publicIp}`,
      );
  }
}

const UNREACHED: readonly Verdict[] = ['udp-port-filtered', 'underlay-unreachable'];

/** Adds to the findings of a family where to look first if no peer answers at all. */
export function withCommonCause(reports: readonly PeerReport[], findings: readonly Finding[]): Finding[] {
  const isCommon = reports.length > 1 && reports.every(({ verdict }) => UNREACHED.includes(verdict));
  if (!isCommon) return [...findings];
  return findings.map((finding) => ({
    ...finding,
    why: `${finding.why} No peer answers: the cause may be this node, or its network.`,
  }));
}

type Words = [what: string, why: string, fix: string];

function unreachable(
  family: FamilyView,
  { publicIp }: PeerView,
  { refused, unreachableCode }: ProbeResult,
): Words {
  if (refused === 'EPERM')
    return [
      'it does not answer through the tunnel, and a firewall of this node drops pings (EPERM)',
      'Whether the node is reached at all is not known.',
      `${accept(family, 'OUTPUT', icmpOf(family))}   # then weft doctor --peers`,
    ];
  if (refused !== null)
    return [
      `this node cannot send to it (${refused})`,
      'This node has no route to it, or the interface of the route is down.',
      `ip route get ${publicIp}   # add a route, or bring the interface up`,
    ];
  const what =
    unreachableCode === null
      ? 'it answers neither a ping nor the tunnel'
      : `a router answers that it is unreachable (ICMP code ${unreachableCode})`;
  return [
    what,
    'The node is down, its public IP is wrong, or the network between is broken.',
    `ping -c 3 ${publicIp}   # start that node, or correct its public IP`,
  ];
}

function filtered(
  family: FamilyView,
  { publicIp }: PeerView,
  { portUnreachable }: ProbeResult,
  barrier: Obstacle | undefined,
): Words {
  const { port } = family;
  const open = accept(family, 'INPUT', `udp --dport ${port}`);
  if (barrier !== undefined)
    return [
      'nothing comes through the tunnel',
      "A firewall of this node drops the tunnel's datagrams.",
      barrier.fix ?? open,
    ];
  if (portUnreachable)
    return [
      `UDP port ${port} is refused (ICMP port unreachable)`,
      'No Weft or flanneld runs there, or a firewall rejects the port.',
      `ss -lun "sport = :${port}"   # on ${publicIp}; without a line start Weft or flanneld there, otherwise open the port`,
    ];
  return [
    `it answers pings, but nothing through UDP port ${port}`,
    "A firewall there or between drops the tunnel's datagrams, or the node's Weft or flanneld hangs.",
    `${open}   # on ${publicIp}; weft doctor there names the rule`,
  ];
}

function narrowPath(
  name: string,
  { mtu, overhead, underlay }: FamilyView,
  { pathMTU, tunnel }: PeerReport,
): Finding {
  const isLost = tunnel.full === null;
  const found = pathMTU === null ? `less than ${mtu + overhead} bytes` : `${pathMTU} bytes`;
  const value = pathMTU ?? SAFE_MTU;
  return problem(
    'path-mtu-too-small',
    isLost ? 'error' : 'warning',
    `${name}: the path carries packets of ${found}, and the tunnel sends ${mtu + overhead}`,
    isLost
      ? 'Full packets of pods are lost: connections start, then hang.'
      : 'Full packets of pods travel in fragments, which are slow and which many firewalls drop.',
    `ip link set ${shellWord(underlay)} mtu ${value}   # or "MTU": ${value} in Backend of net-conf.json on every node`,
  );
}

function pingless(
  name: string,
  family: FamilyView,
  { publicIp }: PeerView,
  { refused, sightings }: ProbeResult,
): Finding {
  const works = sightings.some(({ arpReply }) => arpReply);
  const known = works ? 'The tunnel works in both directions, but its MTU' : 'Whether the tunnel works';
  const icmp = icmpOf(family);
  if (refused === 'EPERM')
    return problem(
      'ping-filtered',
      'warning',
      `${name}: a firewall of this node drops pings (EPERM)`,
      `${known} is not known.`,
      accept(family, 'OUTPUT', icmp),
    );
  const fix = accept(family, `INPUT -i ${shellWord(family.device)}`, icmp);
  return problem(
    'ping-filtered',
    'warning',
    `${name}: it answers ARP through the tunnel, but no ping`,
    `${known} is not known: a firewall there or here drops ICMP.`,
    `${fix}   # on ${publicIp}, or here`,
  );
}

function icmpOf({ family }: FamilyView): string {
  return family === 'ipv4' ? 'icmp' : 'ipv6-icmp';
}

function accept({ family }: FamilyView, chain: string, packets: string): string {
  return `${family === 'ipv4' ? 'iptables' : 'ip6tables'} -I ${chain} -p ${packets} -j ACCEPT`;
}
