/** Obstacles of single peers: one that never answers, and one that sends from another address than its lease names. */

import { formatCidr } from '../addresses/cidr.js';
import { formatIp } from '../addresses/ip.js';
import type { Lease } from '../leases/lease.js';
import type { FamilyFacts, Obstacle, ObstacleCheck } from './obstacle.js';
import type { PeerFigures, PeerPackets, RefusedSource } from './peer-figures.js';

/** How long Weft sends to a peer before its silence is an obstacle, and how long an obstacle outlasts its packets. */
const SILENCE_MS = 60_000;

/** More obstacles of one kind than this are told as one. */
const MAX_LISTED = 16;

/** Returns the figures of a family; undefined while its dataplane is being rebuilt. */
export type FiguresOf = (facts: FamilyFacts) => PeerFigures | undefined;

/**
 * Returns the check for peers that Weft has sent to for a minute and never received from. It runs every few seconds: it
 * notes when the first packet to each peer was seen. `now` returns milliseconds of a steady clock.
 */
export function silentPeers(
  figuresOf: FiguresOf,
  now: () => number = () => performance.now(),
): ObstacleCheck {
  /** When a packet to this address was first seen; absent once one was received. */
  const sentSince = new Map<string, number>();
  return async (facts) => {
    const packets = (await figuresOf(facts)?.peers()) ?? [];
    const byAddress = new Map(packets.map((one) => [formatIp(one.address), one]));
    const silent = facts.peers.filter((peer) => {
      const address = formatIp(peer.publicIp);
      if (!isOneSided(byAddress.get(address))) {
        sentSince.delete(address);
        return false;
      }
      const since = sentSince.get(address) ?? now();
      sentSince.set(address, since);
      return now() - since >= SILENCE_MS;
    });
    return listed(
      'silent peer',
      silent.map((peer) => silence(peer, facts)),
    );
  };
}

function isOneSided(packets: PeerPackets | undefined): boolean {
  return packets !== undefined && packets.txPackets > 0 && packets.rxPackets === 0;
}

function silence({ publicIp, subnet }: Lease, { port }: FamilyFacts): Obstacle {
  const address = formatIp(publicIp);
  return {
    key: `silent peer ${address}`,
    message: `peer ${address} (${formatCidr(subnet)}) was sent to for a minute and never heard of; check that it runs, that its public IP is right, and that no firewall between drops UDP port ${port}`,
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
  const lastRise = new Map<string, { count: number; at: number }>();
  return async (facts) => {
    const refused = (await figuresOf(facts)?.refusedSources()) ?? [];
    const leases = new Map(facts.peers.map((peer) => [peer.publicIp, peer]));
    const recent = refused.filter(({ address, leased, count }) => {
      const key = `${formatIp(address)} ${formatIp(leased)}`;
      const last = lastRise.get(key);
      if (last === undefined || last.count !== count) lastRise.set(key, { count, at: now() });
      return now() - (lastRise.get(key)?.at ?? 0) < SILENCE_MS;
    });
    return listed(
      'refused source',
      recent.flatMap((source) => {
        const lease = leases.get(source.leased);
        return lease === undefined ? [] : [refusal(source, lease)];
      }),
    );
  };
}

function refusal({ address }: RefusedSource, { publicIp, subnet, vtepMac }: Lease): Obstacle {
  const from = formatIp(address);
  const leased = formatIp(publicIp);
  const what = vtepMac === undefined ? 'packets' : `packets with the MAC ${vtepMac}`;
  return {
    key: `refused source ${from} ${leased}`,
    message: `${what} of peer ${leased} (${formatCidr(subnet)}) arrive from ${from} and are dropped; set that node's public IP to ${from}, or behind NAT use --peer-check mac`,
  };
}

/** Returns the obstacles; of very many only the first ones, and their number. */
function listed(kind: string, obstacles: readonly Obstacle[]): Obstacle[] {
  if (obstacles.length <= MAX_LISTED) return [...obstacles];
  const [first] = obstacles as [Obstacle];
  const more = obstacles.length - 1;
  return [{ key: `${kind}s`, message: `${first.message}; the same is true of ${more} other addresses` }];
}
