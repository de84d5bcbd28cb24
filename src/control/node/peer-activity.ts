/** The part of a peer's status that the dataplane knows: state, packets, times and path. */

import type { PeerActivity } from '../../dataplane/dataplane.js';
import type { PeerStatus } from '../backends/backend.js';
import { isSilent } from '../obstacles/silence.js';

type Activity = Omit<PeerActivity, 'address'>;

const NO_ACTIVITY: Activity = { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 };

export interface Clock {
  /** `performance.now`, which the times of the activity refer to. */
  now: number;
  /** The same moment as `Date.now`. */
  date: number;
}

/** Adds the activity to a peer's status; undefined for a peer without packets. `fast`: whether BPF programs forward it. */
export function addActivity(
  peer: PeerStatus,
  activity: Activity = NO_ACTIVITY,
  fast: boolean,
  clock: Clock,
): void {
  const { txPackets, rxPackets, txBytes, rxBytes, heardAt, sentAt, drop } = activity;
  const age = (at: number): number => Math.max(0, Math.round((clock.now - at) / 1000));
  const state = stateOf(activity);
  Object.assign(peer, { txPackets, rxPackets, txBytes, rxBytes, state });
  if (state === 'silent' && heardAt !== undefined)
    peer.silentSince = new Date(clock.date - clock.now + heardAt).toISOString();
  peer.heardAgeSeconds = heardAt === undefined ? null : age(heardAt);
  peer.sentAgeSeconds = sentAt === undefined ? null : age(sentAt);
  peer.lastDrop = drop === undefined ? null : { reason: drop.reason, ageSeconds: age(drop.at) };
  peer.path = peer.direct ? 'direct' : fast ? 'bpf' : 'userspace';
}

function stateOf(activity: Activity): NonNullable<PeerStatus['state']> {
  if (activity.rxPackets > 0) return isSilent(activity) ? 'silent' : 'reachable';
  return activity.txPackets > 0 ? 'neverHeard' : 'unused';
}
