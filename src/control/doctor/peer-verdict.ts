/** The verdict on a peer, from all evidence about it. */

import type { ProbeResult } from '../../dataplane/dataplane.js';
import { formatIp } from '../addresses/ip.js';
import type { Obstacle } from '../obstacles/obstacle.js';
import type { FamilyView, PeerView } from './facts.js';

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

/** Returns whether the probes ask peers of this family for their MAC. */
export function asksForMacs({ family, vtepMac }: Pick<FamilyView, 'family' | 'vtepMac'>): boolean {
  return family === 'ipv4' && vtepMac !== null;
}

/** Draws the conclusion from all evidence about a peer. `barrier`: a firewall of this node that drops the datagrams. */
export function reportOf(
  family: Pick<FamilyView, 'family' | 'vtepMac' | 'directRouting'>,
  { publicIp, subnet, vtepMac }: PeerView,
  result: ProbeResult,
  barrier?: Obstacle,
): PeerReport {
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
      // Fragments may pass: then full-size packets arrive, but only without DF underneath. A direct route has none.
      const inFragments = !family.directRouting && underlaySmall !== null && underlayFull === null;
      const isNarrow = tunnelFull === null || inFragments;
      return isNarrow ? 'path-mtu-too-small' : 'healthy';
    }
    if (foreign !== undefined) return 'wrong-source-address';
    if (changed !== undefined) return 'changed-mac';
    if (barrier !== undefined) return 'udp-port-filtered';
    // The peer's kernel has answered through the tunnel, but not to a ping.
    if (expected !== undefined) return 'ping-filtered';
    // Where nothing but pings can tell, a firewall of this node that refuses them hides the rest.
    if (result.refused === 'EPERM' && !asksForMacs(family)) return 'ping-filtered';
    return underlaySmall !== null || result.portUnreachable ? 'udp-port-filtered' : 'underlay-unreachable';
  }
}

function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 100) / 100;
}
