/** Obstacles of single peers: one that never answers, and one that sends from another address than its lease names. */

import { formatCidr } from '../addresses/cidr.js';
import type { Family } from '../addresses/family.js';
import { formatIp, type Ip } from '../addresses/ip.js';
import type { Lease } from '../leases/lease.js';
import type { FamilyFacts, Obstacle, ObstacleCheck } from './obstacle.js';
import type { PeerFigures, PeerPackets, RefusedSource } from './peer-figures.js';
import { isSilent, SILENCE_MS } from './silence.js';

/** More obstacles of one kind than this are reported as one. */
const MAX_LISTED = 16;

/** Returns the figures of a family; undefined while its dataplane is being rebuilt. */
export type FiguresOf = (facts: FamilyFacts) => PeerFigures | undefined;

/** In place of a time: a packet of the peer was received. */
const HEARD = Number.POSITIVE_INFINITY;

/**
 * Returns the check for peers that Weft has sent to for a minute and received nothing from meanwhile (silence.ts). It runs
 * every few seconds: it notes when the first packet to a peer was seen that was never heard. `now` returns milliseconds of a
 * steady clock.
 */
export function silentPeers(
  figuresOf: FiguresOf,
  now: () => number = () => performance.now(),
): ObstacleCheck {
  /** When a packet to each address was first seen, or HEARD. It outlasts the counts, which begin again after a rebuild. */
  const sentSince = new Map<Family, ReadonlyMap<Ip, number>>();
  return async (facts) => {
    const { family, peers } = facts;
    const packets = (await figuresOf(facts)?.peers()) ?? [];
    const byAddress = new Map(packets.map((one) => [one.address, one]));
    const before = sentSince.get(family);
    const since = new Map<Ip, number>();
    for (const { publicIp } of peers) {
      const at = firstSent(byAddress.get(publicIp), before?.get(publicIp), now());
      if (at !== undefined) since.set(publicIp, at);
    }
    sentSince.set(family, since);
    const silent = peers.filter(
      ({ publicIp }) =>
        now() - (since.get(publicIp) ?? HEARD) >= SILENCE_MS || isSilent(byAddress.get(publicIp) ?? {}),
    );
    return listed(
      'silent peer',
      silent.map((peer) => silence(peer, facts)),
    );
  };
}

/** Returns when a packet to a peer was first seen, or HEARD; undefined for a peer without packets. */
function firstSent(
  packets: PeerPackets | undefined,
  before: number | undefined,
  now: number,
): number | undefined {
  if (before === HEARD || (packets !== undefined && packets.rxPackets > 0)) return HEARD;
  // Without counts the tunnel carries none of this peer's packets: they may take a direct route.
  if (packets === undefined) return undefined;
  return packets.txPackets > 0 ? (before ?? now) : before;
}

function silence({ publicIp, subnet }: Lease, { port }: FamilyFacts): Obstacle {
  const address = formatIp(publicIp);
  return {
    key: `silent peer ${address}`,
    message: `Weft has sent to peer ${address} (${formatCidr(subnet)}) for a minute and received nothing from it; check that it runs, that its public IP is right, and that no firewall between drops UDP port ${port}`,
    fix: 'weft doctor --peers',
  };
}

/**
 * Returns the check for packets of a leased MAC (vxlan) or subnet (udp) that arrive from an address other than the lease's.
 * A source that is quiet for a minute is no obstacle any more.
 */
export function refusedPeers(
  figuresOf: FiguresOf,
  now: () => number = () => performance.now(),
): ObstacleCheck {
  /** When the count of each source rose last. */
  const lastRise = new Map<Family, ReadonlyMap<string, { count: number; at: number }>>();
  return async (facts) => {
    const { family, peers } = facts;
    const refused = (await figuresOf(facts)?.refusedSources()) ?? [];
    const before = lastRise.get(family);
    const rises = new Map(
      refused.map((source) => {
        const { count } = source;
        const key = keyOf(source);
        const last = before?.get(key);
        return [key, last?.count === count ? last : { count, at: now() }];
      }),
    );
    lastRise.set(family, rises);
    const recent = refused.filter((source) => now() - (rises.get(keyOf(source))?.at ?? 0) < SILENCE_MS);
    return listed(
      'refused source',
      peers.flatMap((lease) => {
        const sources = recent.filter(({ leased }) => leased === lease.publicIp);
        return sources.length === 0 ? [] : [refusal(sources, lease)];
      }),
    );
  };
}

function keyOf({ address, leased }: RefusedSource): string {
  return `${formatIp(address)} ${formatIp(leased)}`;
}

/** Returns one obstacle for all sources of a lease: forged source addresses do not fill the log. */
function refusal(sources: readonly RefusedSource[], { publicIp, subnet, vtepMac }: Lease): Obstacle {
  const [from = '', ...others] = sources.map(({ address }) => formatIp(address)).sort();
  const leased = formatIp(publicIp);
  const what = vtepMac === undefined ? 'packets' : `packets with the MAC ${vtepMac}`;
  const more =
    others.length === 0 ? '' : ` and ${others.length} other address${others.length === 1 ? '' : 'es'}`;
  return {
    key: `refused source ${leased}`,
    message: `${what} of peer ${leased} (${formatCidr(subnet)}) arrive from ${from}${more} and are dropped; set that node's public IP to ${from}, or behind NAT use --peer-check mac`,
  };
}

/** Returns the obstacles; of very many only the first ones, and their number. */
function listed(kind: string, obstacles: readonly Obstacle[]): Obstacle[] {
  if (obstacles.length <= MAX_LISTED) return [...obstacles];
  const [first] = obstacles as [Obstacle];
  const more = obstacles.length - 1;
  return [{ key: `${kind}s`, message: `${first.message}; the same is true of ${more} other peers` }];
}
