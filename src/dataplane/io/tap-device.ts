/** Making a TAP device. It is not persistent: it goes when its last descriptor is closed, also after a kill -9. */

import {
  IFF_MULTI_QUEUE,
  IFF_NO_PI,
  IFF_TAP,
  IFF_TUN_EXCL,
  IFNAMSIZ,
  IFREQ_SIZE,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  TUNSETIFF,
} from '../sys/constants.js';
import { close, ioctl, open } from '../sys/ffi.js';
import { SystemError } from '../sys/system-error.js';

export const TUN_PATH = '/dev/net/tun';

function openTun(): number {
  const fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) throw new SystemError(`open ${TUN_PATH}`, fd);
  return fd;
}

/** Opens and closes the tun driver. @throws SystemError when it is not there or may not be used */
export function probeTun(): void {
  close(openTun());
}

/**
 * Creates the TAP device `name` with one descriptor (non-blocking, the caller's) per queue; fails when a device of
 * that name exists. The device is down, without address. @throws SystemError; then nothing is left behind
 */
export function createTap(name: string, queues: number): number[] {
  const fds: number[] = [];
  const request = new Uint8Array(IFREQ_SIZE);
  request.set(new TextEncoder().encode(name).subarray(0, IFNAMSIZ - 1));
  const view = new DataView(request.buffer);
  try {
    for (let queue = 0; queue < queues; queue++) {
      const exclusive = queue === 0 ? IFF_TUN_EXCL : 0;
      const multiple = queues > 1 ? IFF_MULTI_QUEUE : 0;
      view.setUint16(IFNAMSIZ, IFF_TAP | IFF_NO_PI | exclusive | multiple, true);
      const fd = openTun();
      fds.push(fd);
      const result = ioctl(fd, TUNSETIFF, request);
      if (result < 0) throw new SystemError(`TUNSETIFF ${name}`, result);
    }
  } catch (error) {
    for (const fd of fds) close(fd);
    throw error;
  }
  return fds;
}
