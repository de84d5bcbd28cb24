/** Making a TAP device. It is not persistent: it goes when its last descriptor is closed, also after a kill -9. */

import {
  IFF_MULTI_QUEUE,
  IFF_NAPI,
  IFF_NO_PI,
  IFF_TAP,
  IFF_TUN_EXCL,
  IFNAMSIZ,
  IFREQ_SIZE,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  TUNSETIFF,
  TUNSETSNDBUF,
} from '../sys/constants.js';
import { EINVAL } from '../sys/errno.js';
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
 * How many bytes of written frames may wait for the device's NAPI: some 3500 full frames. Without a limit a
 * flood would fill the memory, because writing a frame costs less than receiving it (drivers/net/tun.c, tun_get_user).
 */
const SEND_BUFFER = 8 * 1024 * 1024;

/**
 * Creates the TAP device `name` with one descriptor (non-blocking, the caller's) per queue; fails when a device of
 * that name exists. The device is down, without address. @throws SystemError; then nothing is left behind
 *
 * Where the kernel can (IFF_NAPI), written frames go to a NAPI context, which joins the segments of a TCP flow again
 * (GRO) before the rest of the stack sees them; it pays once that NAPI has a thread of its own (control sets
 * /sys/class/net/<name>/threaded).
 */
export function createTap(name: string, queues: number): number[] {
  const fds: number[] = [];
  try {
    for (let queue = 0; queue < queues; queue++) {
      const fd = openTun();
      fds.push(fd);
      const flags =
        IFF_TAP | IFF_NO_PI | (queues > 1 ? IFF_MULTI_QUEUE : 0) | (queue === 0 ? IFF_TUN_EXCL : 0);
      let result = attach(fd, name, flags | IFF_NAPI);
      if (result === -EINVAL) result = attach(fd, name, flags);
      if (result < 0) throw new SystemError(`TUNSETIFF ${name}`, result);
    }
    ioctl(fds[0], TUNSETSNDBUF, new Uint8Array(new Int32Array([SEND_BUFFER]).buffer));
  } catch (error) {
    for (const fd of fds) close(fd);
    throw error;
  }
  return fds;
}

function attach(fd: number, name: string, flags: number): number {
  const request = new Uint8Array(IFREQ_SIZE);
  request.set(new TextEncoder().encode(name).subarray(0, IFNAMSIZ - 1));
  new DataView(request.buffer).setUint16(IFNAMSIZ, flags, true);
  return ioctl(fd, TUNSETIFF, request);
}
