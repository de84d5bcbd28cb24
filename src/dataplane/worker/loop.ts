/**
 * The forwarding loop: everything that happens to a packet happens in one round of it.
 *
 *     overlay.receive → tunnel.encapsulate → underlay.send
 *     underlay.receive → tunnel.decapsulate → overlay.send
 *
 * A round serves each side that has something, up to a batch each, so that neither can starve the other; with nothing
 * left on either side the worker blocks in poll until a packet or control comes.
 */

import type { Port } from '../io/port.js';
import type { Arena } from '../memory/arena.js';
import type { PacketBatch } from '../memory/batch.js';
import { POLLFD_SIZE, POLLIN } from '../sys/constants.js';
import { poll } from '../sys/ffi.js';
import type { Tunnel } from '../tunnel/tunnel.js';
import type { Doorbell } from './doorbell.js';

const TAP = 0;
const SOCKET = 1;
const DOORBELL = 2;
const POLL_COUNT = 3;

export interface Path {
  overlay: Port;
  underlay: Port;
  tunnel: Tunnel;
  outbound: PacketBatch;
  inbound: PacketBatch;
}

export interface PollDescriptors {
  tapFd: number;
  socketFd: number;
  doorbell: Doorbell;
}

/** A port that cannot be used any more, as when the device was deleted. */
export interface LoopFailure {
  port: 'overlay' | 'underlay';
  errno: number;
}

export class ForwardingLoop {
  private readonly arena: Arena;
  private readonly path: Path;
  private readonly doorbell: Doorbell;
  private readonly pollfds: number;

  constructor(arena: Arena, path: Path, descriptors: PollDescriptors) {
    this.arena = arena;
    this.path = path;
    this.doorbell = descriptors.doorbell;
    this.pollfds = arena.reserve(POLL_COUNT * POLLFD_SIZE);
    this.watch(TAP, descriptors.tapFd);
    this.watch(SOCKET, descriptors.socketFd);
    this.watch(DOORBELL, descriptors.doorbell.eventFd);
  }

  /** Forwards until the doorbell says stop; calls `onRing` between two rounds whenever control rang. */
  run(onRing: () => void): LoopFailure | undefined {
    const { overlay, underlay, tunnel, outbound, inbound } = this.path;
    let overlayReady = true;
    let underlayReady = true;
    while (true) {
      if (this.doorbell.answer()) {
        if (this.doorbell.stopped) return undefined;
        onRing();
      }
      if (overlayReady) {
        const taken = overlay.receive(outbound);
        if (taken < 0) return { port: 'overlay', errno: -taken };
        if (outbound.count > 0) {
          tunnel.encapsulate(outbound);
          underlay.send(outbound);
        }
        overlayReady = taken === outbound.capacity;
      }
      if (underlayReady) {
        const taken = underlay.receive(inbound);
        if (taken < 0) return { port: 'underlay', errno: -taken };
        if (inbound.count > 0) {
          tunnel.decapsulate(inbound);
          overlay.send(inbound);
        }
        underlayReady = taken === inbound.capacity;
      }
      if (!overlayReady && !underlayReady) {
        poll(this.arena.base + this.pollfds, POLL_COUNT, -1);
        overlayReady = this.ready(TAP);
        underlayReady = this.ready(SOCKET);
      }
    }
  }

  private watch(index: number, fd: number): void {
    const word = (this.pollfds + index * POLLFD_SIZE) >> 2;
    this.arena.words[word] = fd;
    this.arena.words[word + 1] = POLLIN;
  }

  /** True when poll reported anything, an error too: receiving tells which. */
  private ready(index: number): boolean {
    return this.arena.view.getInt16(this.pollfds + index * POLLFD_SIZE + 6, true) !== 0;
  }
}
