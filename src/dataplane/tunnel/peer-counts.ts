/** Packets and bytes of a peer. */

/** The counts of one peer since it was added. */
export interface PeerCounts {
  txPackets: number;
  txBytes: number;
  rxPackets: number;
  rxBytes: number;
}

export const NO_COUNTS: PeerCounts = { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 };

export function addCounts(a: PeerCounts, b: PeerCounts): PeerCounts {
  return {
    txPackets: a.txPackets + b.txPackets,
    txBytes: a.txBytes + b.txBytes,
    rxPackets: a.rxPackets + b.rxPackets,
    rxBytes: a.rxBytes + b.rxBytes,
  };
}
