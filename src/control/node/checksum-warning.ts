/** Warns of datagrams that arrive with a wrong UDP checksum: something between a peer's socket and this node damages them. */

import { warn } from '../support/log.js';

/** Pause between two warnings of one tunnel. */
const PAUSE_MS = 3_600_000;

export class ChecksumWarning {
  private seen = 0;
  private quietUntil = 0;
  private readonly clock: { now(): number };

  /** `clock` returns monotonic milliseconds. */
  constructor(clock: { now(): number } = performance) {
    this.clock = clock;
  }

  /** Warns if `dropped`, the count of such datagrams, rose; at most once an hour. */
  note(device: string, dropped: number): void {
    const rise = dropped - this.seen;
    this.seen = dropped;
    const now = this.clock.now();
    if (rise <= 0 || now < this.quietUntil) return;
    this.quietUntil = now + PAUSE_MS;
    warn(
      `${device}: ${rise} datagrams arrived with a wrong UDP checksum (rx_drop_checksum); run the peer that sent them with --gso-trains=off or without checksum offload (ethtool -K <NIC> tx off)`,
    );
  }
}
