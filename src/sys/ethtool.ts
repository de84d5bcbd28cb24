/** Features of a network device that ethtool(8) switches. */

import { AF_INET, IFNAMSIZ, IFREQ_SIZE, SIOCETHTOOL, SOCK_CLOEXEC, SOCK_DGRAM } from './constants.js';
import { addressOf, close, ioctl, socket } from './ffi.js';
import { SystemError } from './system-error.js';

/** Switches a feature: `command` is an ETHTOOL_S… of linux/ethtool.h. @throws SystemError */
export function setFeature(device: string, command: number, on: boolean): void {
  // struct ethtool_value: command u32, data u32.
  const value = new Uint8Array(new Uint32Array([command, on ? 1 : 0]).buffer);
  const request = new Uint8Array(IFREQ_SIZE);
  request.set(new TextEncoder().encode(device).subarray(0, IFNAMSIZ - 1));
  new DataView(request.buffer).setBigUint64(IFNAMSIZ, addressOf(value), true);
  const fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new SystemError('socket', fd);
  const result = ioctl(fd, SIOCETHTOOL, request);
  close(fd);
  if (result < 0) throw new SystemError(`set a feature of ${device}`, result);
}
