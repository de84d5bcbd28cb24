/**
 * When a peer counts as silent: Weft has sent to it for a minute and received nothing from it meanwhile. One packet
 * without an answer is no silence: the last packet of a TCP connection has none. docs/status.md has the same definition.
 */

import type { PeerTimes } from '../../dataplane/dataplane.js';

/** How long Weft sends to a peer before its silence counts. */
export const SILENCE_MS = 60_000;

/** Returns whether Weft has sent for a minute since the peer was heard last. It stays true until the peer is heard. */
export function isSilent({ heardAt = 0, sentAt, sendingSince }: PeerTimes): boolean {
  if (sentAt === undefined || sendingSince === undefined) return false;
  return sentAt - Math.max(sendingSince, heardAt) >= SILENCE_MS;
}
