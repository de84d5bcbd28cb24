/** Creating a TAP or TUN device. It is not persistent: the kernel removes it with its last descriptor. */

import {
  IFF_MULTI_QUEUE,
  IFF_NAPI,
  IFF_NO_PI,
  IFF_TAP,
  IFF_TUN,
  IFF_TUN_EXCL,
  IFF_VNET_HDR,
  IFNAMSIZ,
  IFREQ_SIZE,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  TUN_F_CSUM,
  TUN_F_TSO4,
  TUN_F_TSO6,
  TUN_F_USO4,
  TUN_F_USO6,
  TUNSETIFF,
  TUNSETOFFLOAD,
  TUNSETSNDBUF,
} from '../../sys/constants.js';
import { EINVAL } from '../../sys/errno.js';
import { close, ioctl, ioctlValue, open } from '../../sys/ffi.js';
import { SystemError } from '../../sys/system-error.js';
import { NO_OFFLOAD, type Offload } from '../offload/level.js';

export const TUN_PATH = '/dev/net/tun';

function openTun(): number {
  const fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) throw new SystemError(`open ${TUN_PATH}`, fd);
  return fd;
}

/** Opens and closes the tun driver. @throws SystemError when it is missing or its use is not permitted */
export function probeTun(): void {
  close(openTun());
}

/**
 * Bytes of written frames that may wait for the device's NAPI: about 3500 full frames. Without a limit a flood would
 * fill the memory, because writing a frame costs less than receiving it (drivers/net/tun.c, tun_get_user).
 */
const SEND_BUFFER = 8 * 1024 * 1024;

/** Parts of TUNSETOFFLOAD masks. */
const TSO = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
const USO = TUN_F_USO4 | TUN_F_USO6;

/** `tap`: frames with an Ethernet header. `tun`: IP packets without any header in front. */
export type DeviceKind = 'tap' | 'tun';

const KIND_FLAGS: Record<DeviceKind, number> = { tap: IFF_TAP, tun: IFF_TUN };

export interface Device {
  /** One non-blocking descriptor per queue, the caller's to close. */
  fds: number[];
  offload: Offload;
}

/**
 * Creates the device `name`; fails when a device of that name exists. The device is down and has no address. With
 * `superpackets` its packets have a virtio-net header if the kernel supports that; `offload` is the result.
 * @throws SystemError and leaves nothing behind
 */
export function createDevice(kind: DeviceKind, name: string, queues: number, superpackets: boolean): Device {
  if (superpackets) {
    const fds = openQueues(kind, name, queues, IFF_VNET_HDR);
    const uso = enableOffload(fds, TSO | USO);
    if (uso || enableOffload(fds, TSO)) {
      limitSendBuffer(fds[0]);
      return { fds, offload: { rung: 'gso', uso } };
    }
    for (const fd of fds) close(fd);
  }
  const fds = openPlainQueues(kind, name, queues);
  limitSendBuffer(fds[0]);
  return { fds, offload: NO_OFFLOAD };
}

/** Enables a TUNSETOFFLOAD mask on all queues, each of which has its own. Returns false when a queue refuses it. */
function enableOffload(fds: readonly number[], mask: number): boolean {
  return fds.every((fd) => ioctlValue(fd, TUNSETOFFLOAD, mask) === 0);
}

/**
 * Opens queues without a virtio-net header. With IFF_NAPI, if the kernel supports it, written packets enter the stack
 * through a NAPI context, which joins the segments of a TCP flow (GRO). That pays off once the NAPI has a thread of its
 * own (control sets /sys/class/net/<name>/threaded).
 */
function openPlainQueues(kind: DeviceKind, name: string, queues: number): number[] {
  try {
    return openQueues(kind, name, queues, IFF_NAPI);
  } catch (error) {
    if ((error as SystemError).errno !== EINVAL) throw error;
    return openQueues(kind, name, queues, 0);
  }
}

function openQueues(kind: DeviceKind, name: string, queues: number, extra: number): number[] {
  const fds: number[] = [];
  try {
    for (let queue = 0; queue < queues; queue++) {
      const fd = openTun();
      fds.push(fd);
      const flags = KIND_FLAGS[kind] | IFF_NO_PI | extra | (queues > 1 ? IFF_MULTI_QUEUE : 0);
      const result = attach(fd, name, queue === 0 ? flags | IFF_TUN_EXCL : flags);
      if (result < 0) throw new SystemError(`TUNSETIFF ${name}`, result);
    }
  } catch (error) {
    for (const fd of fds) close(fd);
    throw error;
  }
  return fds;
}

function limitSendBuffer(fd: number): void {
  ioctl(fd, TUNSETSNDBUF, new Uint8Array(new Int32Array([SEND_BUFFER]).buffer));
}

function attach(fd: number, name: string, flags: number): number {
  const request = new Uint8Array(IFREQ_SIZE);
  request.set(new TextEncoder().encode(name).subarray(0, IFNAMSIZ - 1));
  new DataView(request.buffer).setUint16(IFNAMSIZ, flags, true);
  return ioctl(fd, TUNSETIFF, request);
}
