/**
 * The device node of the tun driver in a container. The manifests of flannel mount none, because the kernel's vxlan needs
 * none, and Weft starts from them after a change of the image alone.
 */

import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { mknod } from '../sys/ffi.js';

/** sys/stat.h */
const S_IFCHR = 0o020000;
/** makedev(10, 200): the misc driver, and TUN_MINOR of linux/miscdevice.h. */
const TUN_DEVICE = (10 << 8) | 200;

/**
 * Makes the node where /dev belongs to a container, which is a tmpfs. On a node it is a devtmpfs, and udev's. It needs
 * CAP_MKNOD, which containers have by default. Opening the device tells whether that helped.
 */
export function makeTunNode(path: string, mounts = readFileSync('/proc/self/mountinfo', 'utf8')): void {
  if (!isOwnDev(mounts)) return;
  try {
    mkdirSync(dirname(path), { recursive: true });
  } catch {
    return;
  }
  mknod(path, S_IFCHR | 0o600, TUN_DEVICE);
}

/** Returns whether the mount at /dev is a tmpfs. In proc_pid_mountinfo(5) the type follows a lone dash. */
function isOwnDev(mounts: string): boolean {
  const types = [...mounts.matchAll(/^(?:\S+ ){4}\/dev .* - (\S+) /gm)].map(([, type]) => type);
  return types.at(-1) === 'tmpfs';
}
