/**
 * The two sides of the dataplane: the overlay port is the TAP device, the underlay port the UDP socket.
 *
 * A port belongs to one worker and its methods never block, throw or allocate. It borrows the batch for the call only.
 * Both directions may carry superpackets; a port whose device cannot take them segments them itself, so that nothing
 * between the ports needs to know the offload rung. Closing the descriptor is not the port's business: control opened
 * it and closes it.
 */

import type { PacketBatch } from '../memory/batch.js';

/** Results of `receive`: nothing is waiting any more, or something may be. */
export const DRAINED = 0;
export const MORE = 1;

export interface Port {
  /**
   * Fills the batch anew with what is waiting; the packets lie in buffers of the port or slots of the batch and hold
   * until the next call. Returns DRAINED, MORE, or a negated errno when the device or socket is gone.
   */
  receive(batch: PacketBatch): number;
  /** Sends every packet of the batch; what cannot be sent is counted and dropped. */
  send(batch: PacketBatch): void;
}
