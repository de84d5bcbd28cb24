/**
 * Creates a TAP or TUN device, or attaches to one that outlived its process. The kernel deletes a device when its last
 * descriptor is closed, unless it is persistent. A persistent one only loses its carrier then (drivers/net/tun.c).
 */

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
  TUNGETIFF,
  TUNSETIFF,
  TUNSETOFFLOAD,
  TUNSETPERSIST,
  TUNSETSNDBUF,
} from '../../sys/constants.js';
import { EBADFD, EINVAL, errnoName } from '../../sys/errno.js';
import { close, ioctl, ioctlValue, open } from '../../sys/ffi.js';
import { SystemError } from '../../sys/system-error.js';
import { NO_OFFLOAD, type Offload, refusalReason } from '../offload/level.js';
import { ETHERNET_LENGTH } from '../wire/ethernet.js';
import { probeSuperpackets } from './superpacket-probe.js';

export const TUN_PATH = '/dev/net/tun';

function openTun(): number {
  const fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) throw new SystemError(`open ${TUN_PATH}`, fd);
  return fd;
}

/** Opens and closes the tun driver. @throws SystemError when that is impossible */
export function probeTun(): void {
  close(openTun());
}

/**
 * Bytes of written frames that may wait for the device's NAPI: some 3500 full frames. Without a limit a flood would fill
 * the memory, because writing a frame costs less than receiving it (drivers/net/tun.c, tun_get_user).
 */
const SEND_BUFFER = 8 * 1024 * 1024;

/** Bits of TUNSETOFFLOAD. */
const TSO = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
const USO = TUN_F_USO4 | TUN_F_USO6;

/** `tap`: Ethernet frames. `tun`: IP packets without a link-layer header. */
type DeviceKind = 'tap' | 'tun';

const KIND_FLAGS: Record<DeviceKind, number> = { tap: IFF_TAP, tun: IFF_TUN };

const LINK_LENGTH: Record<DeviceKind, number> = { tap: ETHERNET_LENGTH, tun: 0 };

export interface Device {
  /** One non-blocking descriptor per queue; the caller closes them. */
  fds: number[];
  offload: Pick<Offload, 'level' | 'uso' | 'superpackets'>;
  /** Why no superpackets are written at level `gso`. */
  refusal?: string;
}

/** `create`: a new device. `attach`: the persistent device of this name; it has several queues if `queues` is not 1. */
export type DeviceOrigin = 'create' | 'attach';

export interface DeviceOptions {
  kind: DeviceKind;
  name: string;
  queues: number;
  origin: DeviceOrigin;
}

/**
 * Opens the queues of a device. A new one is down and has no address. With `superpackets` its packets have a virtio-net
 * header where the kernel supports it: see the returned `offload`.
 * @throws SystemError, with EBUSY for a new device whose name is taken and for one that another process has; then nothing
 * is left open
 */
export function openDevice(options: DeviceOptions, superpackets: boolean): Device {
  const { kind } = options;
  if (superpackets) {
    const fds = openQueues(options, IFF_VNET_HDR);
    const uso = setOffload(fds, TSO | USO);
    if (uso || setOffload(fds, TSO)) {
      limitSendBuffer(fds[0]);
      return { fds, ...probed(fds[0], kind, uso) };
    }
    for (const fd of fds) close(fd);
  }
  const fds = openPlainQueues(options);
  limitSendBuffer(fds[0]);
  return { fds, offload: NO_OFFLOAD };
}

/** Returns what of level `gso` a device accepts. */
function probed(fd: number, kind: DeviceKind, uso: boolean): Pick<Device, 'offload' | 'refusal'> {
  const errno = probeSuperpackets(fd, LINK_LENGTH[kind], 'tcp');
  if (errno !== 0) {
    const refusal = refusalReason('receive', errnoName(errno));
    return { offload: { level: 'gso', uso: false, superpackets: false }, refusal };
  }
  return {
    offload: {
      level: 'gso',
      uso: uso && probeSuperpackets(fd, LINK_LENGTH[kind], 'udp') === 0,
      superpackets: true,
    },
  };
}

/** Sets the offload bits of every queue; each has its own. Returns false when the kernel refuses them. */
function setOffload(fds: readonly number[], bits: number): boolean {
  return fds.every((fd) => ioctlValue(fd, TUNSETOFFLOAD, bits) === 0);
}

/**
 * Uses IFF_NAPI where the kernel supports it: written packets then pass through a NAPI context, whose GRO joins the
 * segments of a TCP flow. That pays once the NAPI has its own thread (control sets /sys/class/net/<name>/threaded).
 */
function openPlainQueues(options: DeviceOptions): number[] {
  try {
    return openQueues(options, IFF_NAPI);
  } catch (error) {
    if ((error as SystemError).errno !== EINVAL) throw error;
    return openQueues(options, 0);
  }
}

function openQueues({ kind, name, queues, origin }: DeviceOptions, extra: number): number[] {
  const fds: number[] = [];
  try {
    for (let queue = 0; queue < queues; queue++) {
      const fd = openTun();
      fds.push(fd);
      const flags = KIND_FLAGS[kind] | IFF_NO_PI | extra | (queues > 1 ? IFF_MULTI_QUEUE : 0);
      const isNew = queue === 0 && origin === 'create';
      const result = attach(fd, name, isNew ? flags | IFF_TUN_EXCL : flags);
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

/** Makes the device outlive its descriptors, or not. A deleted device has no such property; its error means nothing. */
export function setPersistent(fd: number, persistent: boolean): void {
  ioctlValue(fd, TUNSETPERSIST, persistent ? 1 : 0);
}

/**
 * Closes the queues of a device. Another file may have the number of a descriptor that something else closed: it stays
 * open.
 */
export function closeQueues(fds: readonly number[]): void {
  for (const fd of fds) {
    const result = ioctl(fd, TUNGETIFF, new Uint8Array(IFREQ_SIZE));
    // EBADFD: the device was deleted.
    if (result >= 0 || result === -EBADFD) close(fd);
  }
}

/** Returns the present name of the device of a descriptor; undefined when the device was deleted. */
export function deviceName(fd: number): string | undefined {
  const request = new Uint8Array(IFREQ_SIZE);
  if (ioctl(fd, TUNGETIFF, request) < 0) return undefined;
  return new TextDecoder().decode(request.subarray(0, request.indexOf(0)));
}
