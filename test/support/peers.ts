/** The peers of a tunnel, as control reads them. */

import { activityIn, type PeerActivity } from '../../src/dataplane/tunnel/peer-traffic.js';
import type { Tunnel } from '../../src/dataplane/tunnel/tunnel.js';

/** Returns the activity of each peer that has any. */
export function activityOf(tunnel: Pick<Tunnel, 'handle'>): PeerActivity[] {
  const { peers } = tunnel.handle({ type: 'peers' }) ?? {};
  return peers === undefined ? [] : activityIn(peers, peers.now);
}

/** Returns the same without times. */
export function countsOf(tunnel: Pick<Tunnel, 'handle'>): PeerActivity[] {
  return activityOf(tunnel).map(({ heardAt, sentAt, sendingSince, drop, ...counts }) => counts);
}
