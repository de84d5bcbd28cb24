/** Errors of a dataplane that its owner distinguishes. */

import { DEVICE_GONE, READ } from '../sys/call-errors.js';
import { errnoName } from '../sys/errno.js';

/** A request to a dataplane whose threads have ended, as they do when the device is deleted. */
export class DataplaneGone extends Error {
  constructor() {
    super('the forwarding thread is gone');
  }
}

/** A question that a forwarding thread does not answer in time. The next one may be answered. */
export class ThreadSilent extends Error {
  constructor() {
    super('a forwarding thread does not answer');
  }
}

/** The forwarding threads fail again and again; the dataplane no longer forwards everything. */
export class ThreadFailure extends Error {}

/** No forwarding thread can start, because the code on disk is no longer that of this process. */
export class CodeReplaced extends Error {
  constructor(cause = 'no forwarding thread can start') {
    super(`${cause}, and an upgrade has replaced the code on disk`);
  }
}

/** This kernel does not support the requested offload level. */
export class OffloadUnavailable extends Error {}

/** Why this kernel, or what this process may do, allows no fast path. */
export class FastPathUnavailable extends Error {}

/** The device or socket of a running dataplane is gone, for example because the device was deleted. */
export class PortFailure extends Error {
  readonly port: 'overlay' | 'underlay';
  /** Whether the device was deleted, or its descriptor closed: another device can take its place. */
  readonly deviceGone: boolean;

  constructor(port: PortFailure['port'], device: string, errno: number) {
    const name = port === 'overlay' ? `device ${device}` : 'the UDP socket';
    super(`${name} cannot be read any more (${errnoName(errno)})`);
    this.port = port;
    this.deviceGone = port === 'overlay' && READ[errno] === DEVICE_GONE;
  }
}

/** Files of another process's dataplane do not suit the options of this one. */
export class HandoverMismatch extends Error {
  constructor(what: string, theirs: string, ours: string) {
    super(`the running Weft has the ${what} ${theirs}, and this one needs ${ours}`);
  }
}
