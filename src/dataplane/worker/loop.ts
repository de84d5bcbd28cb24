/**
 * The forwarding loop: everything that happens to a packet happens in one round of it.
 *
 *     overlay.receive → tunnel.encapsulate → underlay.send
 *     underlay.receive → tunnel.decapsulate → overlay.send
 *
 * and what the tunnel replies goes back to the port the burst came from.
 *
 * A round serves each side that has something, up to a batch each, so that neither can starve the other; with nothing
 * left on either side the worker waits (idle.ts) until a packet or control comes.
 */

import { DRAINED, type Port } from '../io/port.js';
import type { PacketBatch } from '../memory/batch.js';
import type { Tunnel } from '../tunnel/tunnel.js';
import type { Doorbell } from './doorbell.js';
import type { Idle } from './idle.js';

export interface Path {
  overlay: Port;
  underlay: Port;
  tunnel: Pick<Tunnel, 'encapsulate' | 'decapsulate'>;
  outbound: PacketBatch;
  inbound: PacketBatch;
  /** What the tunnel has to say to the senders of packets; empty between two bursts. */
  replies: PacketBatch;
}

/** A port that cannot be used any more, as when the device was deleted. */
export interface LoopFailure {
  port: 'overlay' | 'underlay';
  errno: number;
}

export class ForwardingLoop {
  private readonly path: Path;
  private readonly doorbell: Doorbell;
  private readonly idle: Idle;

  /** `idle` has to watch the doorbell too. */
  constructor(path: Path, doorbell: Doorbell, idle: Idle) {
    this.path = path;
    this.doorbell = doorbell;
    this.idle = idle;
  }

  /** Forwards until the doorbell says stop; calls `onRing` between two rounds whenever control rang. */
  run(onRing: () => void): LoopFailure | undefined {
    while (true) {
      if (this.doorbell.answer()) {
        if (this.doorbell.stopped) return undefined;
        onRing();
      }
      const out = this.forwardOut();
      if (out < 0) return { port: 'overlay', errno: -out };
      const back = this.forwardIn();
      if (back < 0) return { port: 'underlay', errno: -back };
      if (this.path.outbound.count > 0 || this.path.inbound.count > 0) this.idle.reset();
      else if (out === DRAINED && back === DRAINED) this.idle.wait();
    }
  }

  private forwardOut(): number {
    const { overlay, underlay, tunnel, outbound, replies } = this.path;
    const result = overlay.receive(outbound);
    if (outbound.count > 0) {
      tunnel.encapsulate(outbound, replies);
      underlay.send(outbound);
      if (replies.count > 0) this.reply(overlay);
    }
    return result;
  }

  private forwardIn(): number {
    const { overlay, underlay, tunnel, inbound, replies } = this.path;
    const result = underlay.receive(inbound);
    if (inbound.count > 0) {
      tunnel.decapsulate(inbound, replies);
      overlay.send(inbound);
      if (replies.count > 0) this.reply(underlay);
    }
    return result;
  }

  private reply(port: Port): void {
    port.send(this.path.replies);
    this.path.replies.clear();
  }
}
