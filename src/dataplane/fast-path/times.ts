/**
 * When the peers of the fast path were heard last. The programs keep counts alone: a time per packet would cost a reading
 * of the kernel's clock. A count that rose since the last look means a packet since then.
 */

import type { PeerCounts } from '../tunnel/peer-counts.js';
import { type PeerActivity, type PeerTimes, SENDING_PAUSE_MS } from '../tunnel/peer-traffic.js';

interface Seen extends PeerTimes {
  txPackets: number;
  rxPackets: number;
}

export class FastTimes {
  private seen = new Map<number, Seen>();

  /** Notes the present counts of each address, and returns the activity of those that have packets. */
  note(counts: ReadonlyMap<number, PeerCounts>, now: number): PeerActivity[] {
    const before = this.seen;
    this.seen = new Map();
    const activities: PeerActivity[] = [];
    for (const [address, count] of counts) {
      const { txPackets, rxPackets } = count;
      if (txPackets + rxPackets === 0) continue;
      const times = timesOf(before.get(address), count, now);
      this.seen.set(address, { ...times, txPackets, rxPackets });
      activities.push({ address, ...count, ...times });
    }
    return activities;
  }
}

/** A peer without earlier counts has them since a moment ago. */
function timesOf(before: Seen | undefined, { txPackets, rxPackets }: PeerCounts, now: number): PeerTimes {
  const times: PeerTimes = {};
  const { heardAt, sentAt, sendingSince } = before ?? {};
  const latestHeard = rxPackets > (before?.rxPackets ?? 0) ? now : heardAt;
  if (latestHeard !== undefined) times.heardAt = latestHeard;
  if (txPackets > (before?.txPackets ?? 0)) {
    const goesOn = sentAt !== undefined && sendingSince !== undefined && now - sentAt < SENDING_PAUSE_MS;
    times.sentAt = now;
    times.sendingSince = goesOn ? sendingSince : now;
  } else if (sentAt !== undefined && sendingSince !== undefined) {
    times.sentAt = sentAt;
    times.sendingSince = sendingSince;
  }
  return times;
}
