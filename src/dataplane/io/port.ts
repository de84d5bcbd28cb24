/**
 * The two sides of the dataplane: the overlay port is the TAP or TUN device, the underlay port the UDP sockets.
 *
 * A port belongs to one worker, and its methods never block, throw or allocate. It borrows the batch for the call only.
 * Both directions may carry superpackets. A port whose device does not accept them segments them itself, so the code
 * between the ports does not depend on the offload level. A port never closes its descriptors; control does.
 */

import type { Recorder } from '../capture/recorder.js';
import type { PacketBatch } from '../memory/batch.js';

/** Results of `receive`: the device or socket is empty, or more packets may be waiting. */
export const DRAINED = 0;
export const MORE = 1;

export interface Port {
  /** Lets the port record the packets that it drops while a capture runs. Called once, before the first packet. */
  record?(recorder: Recorder): void;
  /**
   * Replaces the contents of the batch by the packets that are waiting. They lie in buffers of the port or slots of the
   * batch and are valid until the next call. Returns DRAINED, MORE, or a negated errno when the device or socket is
   * lost.
   */
  receive(batch: PacketBatch): number;
  /** Sends every packet of the batch; drops and counts what cannot be sent. */
  send(batch: PacketBatch): void;
}
