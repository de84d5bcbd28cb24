/** A short answer for `weft status`: of very many peers it has only some with problems, and the number of the others. */

import type { PeerStatus } from '../backends/backend.js';
import type { FamilyStatus, OmittedPeers, ShownState, StartingStatus, Status } from './status.js';

/** How many peers are listed. Of more, only those with problems are. */
export const LISTED = 50;

/** A drop is a problem of its peer for so long. */
const RECENT_DROP_SECONDS = 60;

export function hasProblem(peer: PeerStatus): boolean {
  const { state, neighbour, fdb, route } = peer;
  if (state === 'silent' || state === 'neverHeard') return true;
  return neighbour === false || fdb === false || !route || hasRecentDrop(peer);
}

export function hasRecentDrop({ lastDrop }: Pick<PeerStatus, 'lastDrop'>): boolean {
  return typeof lastDrop?.ageSeconds === 'number' && lastDrop.ageSeconds < RECENT_DROP_SECONDS;
}

/** Returns the state as people see it: a direct peer is in use, but Weft sees none of its packets. */
export function shownState({ state, direct }: PeerStatus): ShownState | undefined {
  return direct === true && state === 'unused' ? 'direct' : state;
}

/** Returns the status without the peers that `weft status` does not list. */
export function brief(status: Status | StartingStatus): Status | StartingStatus {
  if (!('backend' in status)) return status;
  const { ipv6 } = status;
  return { ...status, ...briefPeers(status), ...(ipv6 && { ipv6: { ...ipv6, ...briefPeers(ipv6) } }) };
}

function briefPeers({ peers }: FamilyStatus): Pick<FamilyStatus, 'peers' | 'omitted'> {
  if (peers.length <= LISTED) return { peers };
  const listed = peers.filter(hasProblem).slice(0, LISTED);
  const shown = new Set(listed);
  const omitted: OmittedPeers = { number: 0, withProblems: 0, states: {} };
  for (const peer of peers) {
    if (shown.has(peer)) continue;
    omitted.number++;
    if (hasProblem(peer)) omitted.withProblems++;
    const state = shownState(peer);
    if (state !== undefined) omitted.states[state] = (omitted.states[state] ?? 0) + 1;
  }
  return { peers: listed, omitted };
}
