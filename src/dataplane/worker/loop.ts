/**
 * The forwarding loop. Each round forwards in both directions:
 *
 *     overlay.receive → tunnel.encapsulate → underlay.send
 *     underlay.receive → tunnel.decapsulate → overlay.send
 *
 * The tunnel's replies return to the port that the batch came from.
 *
 * A round takes at most one batch per direction, so that neither can starve the other. The ports limit a batch in datagrams:
 * out some 600 (io/overlay-gso.ts), in 16 GRO runs of at most 128 (io/gro-splitter.ts). A superpacket of more than 128
 * segments takes 128 of each round (io/backlog.ts). When both ports are drained, the worker waits (idle.ts) for a packet
 * or for control.
 */

import { schedYield } from '../../sys/ffi.js';
import { Recorder } from '../capture/recorder.js';
import type { CounterRow } from '../counters.js';
import { DRAINED, type Port } from '../io/port.js';
import { countBatch, privateRow, RX_BATCHES, TX_BATCHES } from '../load.js';
import type { PacketBatch } from '../memory/batch.js';
import type { Tunnel } from '../tunnel/tunnel.js';
import type { Doorbell } from './doorbell.js';
import type { Idle } from './idle.js';

/** Groups of rounds that are measured apart. */
const MEASURED_GROUPS = 10;

export interface Path {
  overlay: Port;
  underlay: Port;
  tunnel: Pick<Tunnel, 'encapsulate' | 'decapsulate'>;
  outbound: PacketBatch;
  inbound: PacketBatch;
  /** Error messages of the tunnel; empty between two batches. */
  replies: PacketBatch;
  /** Records packets while a capture runs; without one, none is recorded. */
  recorder?: Recorder;
}

/** A port that failed, for example because its device was deleted; or the wait for packets. */
export interface LoopFailure {
  port: 'overlay' | 'underlay' | 'wait';
  errno: number;
}

export class ForwardingLoop {
  private readonly path: Path;
  private readonly doorbell: Doorbell;
  private readonly idle: Idle;
  private readonly recorder: Recorder;
  private readonly counters: CounterRow;

  /** `idle` must watch the doorbell too. `counters` is the row of the worker. */
  constructor(path: Path, doorbell: Doorbell, idle: Idle, counters: CounterRow = privateRow()) {
    this.path = path;
    this.doorbell = doorbell;
    this.idle = idle;
    this.recorder = path.recorder ?? Recorder.NONE;
    this.counters = counters;
  }

  /** Forwards until the doorbell is stopped or a port fails. Calls `onRing` between two rounds after a ring. */
  run(onRing: () => void): LoopFailure | undefined {
    while (true) {
      if (this.doorbell.answer()) {
        if (this.doorbell.stopped) return undefined;
        this.idle.mark();
        onRing();
      }
      const out = this.forwardOut();
      if (out < 0) return { port: 'overlay', errno: -out };
      const back = this.forwardIn();
      if (back < 0) return { port: 'underlay', errno: -back };
      if (this.recorder.on) this.recorder.publish();
      if (this.path.outbound.count > 0 || this.path.inbound.count > 0) this.idle.reset();
      else if (out === DRAINED && back === DRAINED) {
        const waited = this.idle.wait();
        if (waited < 0) return { port: 'wait', errno: -waited };
      }
    }
  }

  /**
   * Forwards for some rounds without waiting, and returns the duration of an empty one, in microseconds. It is the mean of
   * the fastest group: packets may pass already.
   */
  measureRound(rounds: number): number {
    const groups = Math.min(rounds, MEASURED_GROUPS);
    const size = Math.ceil(rounds / groups);
    let fastest = Number.POSITIVE_INFINITY;
    for (let group = 0; group < groups; group++) {
      const start = performance.now();
      for (let i = 0; i < size; i++) {
        this.forwardOut();
        this.forwardIn();
        schedYield();
      }
      fastest = Math.min(fastest, performance.now() - start);
    }
    return (fastest * 1000) / size;
  }

  private forwardOut(): number {
    const { overlay, underlay, tunnel, outbound, replies } = this.path;
    const result = overlay.receive(outbound);
    if (outbound.count > 0) {
      countBatch(this.counters, TX_BATCHES, outbound.count);
      tunnel.encapsulate(outbound, replies);
      if (this.recorder.on) this.recorder.outbound(outbound);
      underlay.send(outbound);
      if (replies.count > 0) this.reply(overlay);
    }
    return result;
  }

  private forwardIn(): number {
    const { overlay, underlay, tunnel, inbound, replies } = this.path;
    const result = underlay.receive(inbound);
    if (inbound.count > 0) {
      countBatch(this.counters, RX_BATCHES, inbound.count);
      tunnel.decapsulate(inbound, replies);
      if (this.recorder.on) this.recorder.inbound(inbound);
      overlay.send(inbound);
      if (replies.count > 0) this.reply(underlay);
    }
    return result;
  }

  private reply(port: Port): void {
    if (this.recorder.on) this.recorder.replies(this.path.replies, port === this.path.overlay);
    port.send(this.path.replies);
    this.path.replies.clear();
  }
}
