/** Checks of the machine before anything is changed. This module loads no native code, so it runs on any platform. */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { endianness, machine } from 'node:os';
import { UserError } from './support/user-error.js';

/** The 64-bit little-endian architectures for which koffi has a binary. */
const ARCHITECTURES = ['x64', 'arm64', 'riscv64', 'loong64'];

/** The bit of CAP_NET_ADMIN (linux/capability.h). */
const CAP_NET_ADMIN = 12n;

/** Values of process.arch with 32-bit addresses. */
const ARCHITECTURES_32 = ['arm', 'ia32', 'mips', 'mipsel', 'ppc', 's390'];

/** What uname(2) calls a 64-bit kernel. An arm64 kernel says armv8l to a process with a 32-bit personality. */
const KERNEL_64 = /64|^armv8l$|^s390x$/;

/** @throws UserError on anything but 64-bit little-endian Linux */
export function checkPlatform(platform: string, arch: string): void {
  if (platform !== 'linux') {
    throw new UserError(
      `platform ${platform} is not supported: Weft needs Linux and its /dev/net/tun; run it on a Linux node`,
    );
  }
  if (ARCHITECTURES.includes(arch) && endianness() === 'LE') return;
  throw new UserError(`architecture ${arch} is not supported: ${reasonFor(arch, machine())}`);
}

/** Returns reason and remedy. `kernel` is the machine name of uname(2), which tells the kernel from the userland. */
function reasonFor(arch: string, kernel: string): string {
  if (ARCHITECTURES_32.includes(arch)) {
    if (!KERNEL_64.test(kernel)) {
      return `Node.js and the kernel (${kernel}) are 32-bit; install a 64-bit system with a 64-bit Node.js if the processor allows it`;
    }
    return `Node.js is a 32-bit build (${arch}) on a 64-bit kernel (${kernel}): this system has a 32-bit userland; install a 64-bit system (such as Raspberry Pi OS 64-bit), or run Weft with a 64-bit Node.js in a 64-bit container`;
  }
  if (endianness() !== 'LE') {
    return `the processor (${kernel}) is big-endian, and Weft needs a 64-bit little-endian one; run Weft on a node with ${ARCHITECTURES.join(', ')}`;
  }
  return `Weft's library for system calls has no build for it; run Weft on a 64-bit node with ${ARCHITECTURES.join(', ')}`;
}

/** @throws UserError without CAP_NET_ADMIN */
export async function checkPrivileges(): Promise<void> {
  const status = await readFile('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  if (((effective >> CAP_NET_ADMIN) & 1n) === 1n) return;
  throw new UserError(
    `Error registering network: operation not permitted: user ${process.getuid?.()} lacks CAP_NET_ADMIN, which devices and routes require: run as root, or grant the capability (AmbientCapabilities=CAP_NET_ADMIN in a systemd unit)`,
    {
      id: 'capabilities',
      why: 'Without CAP_NET_ADMIN Weft can create no device and no route, and does not start.',
      fix: 'sudo weft doctor',
    },
  );
}

/** The command that lets the tun driver be opened, by the error. */
const TUN_FIXES: Readonly<Record<string, string>> = {
  ENOENT: 'modprobe tun',
  ENODEV: 'modprobe tun',
  ENXIO: 'modprobe tun',
  EACCES: 'chmod 0666 /dev/net/tun',
  EPERM: 'docker run --device /dev/net/tun --cap-add NET_ADMIN …',
};

/** @throws UserError with the reason and the remedy when the tun driver cannot be opened */
export async function checkTun(): Promise<void> {
  const { probeTun, TUN_PATH } = await import('../dataplane/dataplane.js');
  const { makeTunNode } = await import('./tun-node.js');
  try {
    if (!existsSync(TUN_PATH)) makeTunNode(TUN_PATH);
    probeTun();
  } catch (error) {
    const remedies: Record<string, string> = {
      ENOENT:
        'no such device: load the driver (modprobe tun), and in a container mount the device or grant CAP_MKNOD',
      ENODEV: 'the kernel has no tun driver loaded: modprobe tun',
      ENXIO: 'the kernel has no tun driver loaded: modprobe tun',
      EACCES: 'permission denied: run as root, or give the device the mode 0666, as udev does',
      EPERM: 'not permitted: allow the device in the container (device cgroup), or run privileged',
    };
    const code = (error as { code?: string }).code ?? '';
    throw new UserError(
      `Error registering network: failed to open TUN device: ${TUN_PATH}: ${remedies[code] ?? `cannot be opened (${code})`}`,
      {
        id: 'tun',
        why: 'Weft needs the tun driver for its device, and does not start without it.',
        fix: TUN_FIXES[code] ?? `ls -l ${TUN_PATH}`,
      },
    );
  }
}
