/**
 * Which peers have series of their own. Their number is limited; the packets of all others are summed.
 *
 * A peer keeps its series until its lease is gone. A choice by traffic would end and begin series at every scrape, but
 * rate() needs a series without gaps. The sum never falls when a peer leaves it or its counts begin again, because it
 * adds up increases.
 */

export interface PeerFigures {
  txPackets: number;
  txBytes: number;
  rxPackets: number;
  rxBytes: number;
}

/** The name under which all other peers are summed. */
export const OTHER = 'other';

const NONE: PeerFigures = { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 };

/** Returns how much a count has risen; a lower one has begun again. */
function increase(now: number, before: number): number {
  return now >= before ? now - before : now;
}

export class PeerSeries {
  private readonly most: number;
  /** The peers with series. */
  private own = new Set<string>();
  /** The last figures of the others. */
  private others = new Map<string, PeerFigures>();
  private sum: PeerFigures | undefined;

  /** `most`: the number of peers that have series. */
  constructor(most: number) {
    this.most = most;
  }

  /** Returns a row for each peer that has series, and one for the sum of the others if there were any. */
  update(
    peers: readonly string[],
    figures: ReadonlyMap<string, PeerFigures>,
  ): [peer: string, figures: PeerFigures][] {
    this.choose(peers);
    const figuresOf = (peer: string): PeerFigures => figures.get(peer) ?? NONE;
    const others = peers.filter((peer) => !this.own.has(peer));
    if (others.length > 0) this.sum ??= NONE;
    const last = new Map<string, PeerFigures>();
    for (const peer of others) {
      last.set(peer, figuresOf(peer));
      this.add(figuresOf(peer), this.others.get(peer) ?? NONE);
    }
    this.others = last;
    const rows = [...this.own].map((peer): [string, PeerFigures] => [peer, figuresOf(peer)]);
    return this.sum === undefined ? rows : [...rows, [OTHER, this.sum]];
  }

  /** Frees the places of peers that are gone, and gives them to the first peers without. */
  private choose(peers: readonly string[]): void {
    const present = new Set(peers);
    this.own = new Set([...this.own].filter((peer) => present.has(peer)));
    for (const peer of peers) {
      if (this.own.size >= this.most) return;
      this.own.add(peer);
    }
  }

  private add(now: PeerFigures, before: PeerFigures): void {
    const sum = this.sum ?? NONE;
    this.sum = {
      txPackets: sum.txPackets + increase(now.txPackets, before.txPackets),
      txBytes: sum.txBytes + increase(now.txBytes, before.txBytes),
      rxPackets: sum.rxPackets + increase(now.rxPackets, before.rxPackets),
      rxBytes: sum.rxBytes + increase(now.rxBytes, before.rxBytes),
    };
  }
}
