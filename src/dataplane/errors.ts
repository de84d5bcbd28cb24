/** Errors of a dataplane that its owner distinguishes. */

import { errnoName } from '../sys/errno.js';

/** A request to a dataplane whose threads have ended, as they do when the device is deleted. */
export class DataplaneGone extends Error {
  constructor() {
    super('the forwarding thread is gone');
  }
}

/** This kernel does not support the requested offload level. */
export class OffloadUnavailable extends Error {}

/** The device or socket of a running dataplane is gone, for example because the device was deleted. */
export class PortFailure extends Error {
  readonly port: 'overlay' | 'underlay';

  constructor(port: PortFailure['port'], device: string, errno: number) {
    const name = port === 'overlay' ? `device ${device}` : 'the UDP socket';
    super(`${name} cannot be read any more (${errnoName(errno)})`);
    this.port = port;
  }
}

/** Files of another process's dataplane do not suit the options of this one. */
export class HandoverMismatch extends Error {
  constructor(what: string, theirs: string, ours: string) {
    super(`the running Weft has the ${what} ${theirs}, and this one needs ${ours}`);
  }
}
