/** The command lines of qemu. */

import { existsSync } from 'node:fs';

/** What a machine boots. */
export interface MachineImage {
  /** Debian's name of the architecture; amd64 if it is left out. */
  readonly arch?: 'amd64' | 'arm64';
  readonly kernel: string;
  readonly initrd: string;
  /** The image of the root disk; changes of the guest are thrown away. */
  readonly disk?: string;
  /** A file that the guest reads as its second disk. */
  readonly data?: string;
}

/** The guest's surroundings. */
interface Surroundings {
  /** The TAP that the guest's eth0 is joined to. */
  readonly iface: string;
  /** The Unix socket of the line that takes commands. */
  readonly socket: string;
  /** Further properties of the NIC. */
  readonly nic: string;
}

const MEMORY_MIB = 1024;

/** Hardware acceleration where it is Intel's or AMD's, emulation elsewhere. */
export const ACCELERATION = ['intel', 'amd'].some(
  (vendor) => existsSync('/dev/kvm') && existsSync(`/sys/module/kvm_${vendor}`),
)
  ? 'kvm'
  : 'tcg';

/** Emulated, the time stamp counter runs too fast on a busy machine; CPU models with more features are slower. */
const AMD64 = {
  program: 'qemu-system-x86_64',
  flags: [
    ...['-M', 'q35,usb=off,vmport=off'],
    ...(ACCELERATION === 'kvm'
      ? ['-accel', 'kvm', '-cpu', 'host']
      : ['-accel', 'tcg,thread=multi', '-cpu', 'Nehalem']),
  ],
  kernel: `console=ttyS0 nopti no_timer_check nokaslr${ACCELERATION === 'kvm' ? '' : ' clocksource=hpet tsc=unstable'}`,
};

/** The processor is that of a Raspberry Pi 4. With kpti each system call costs ten times as much emulation. */
const ARM64 = {
  program: 'qemu-system-aarch64',
  flags: ['-M', 'virt,gic-version=3', '-accel', 'tcg,thread=multi', '-cpu', 'cortex-a72'],
  kernel: 'console=ttyAMA0 kpti=0',
};

const KERNEL = 'net.ifnames=0 loglevel=3 panic=-1 audit=0 mitigations=off';

/** Returns program and arguments. */
export function machineArgv(image: MachineImage, { iface, socket, nic }: Surroundings): string[] {
  const { program, flags, kernel } = image.arch === 'arm64' ? ARM64 : AMD64;
  // Without a panic timeout (-1) and with -no-reboot a panic ends the machine.
  return [
    ...[
      program,
      ...flags,
      '-smp',
      '2',
      '-m',
      `${MEMORY_MIB}`,
      '-no-reboot',
      '-nodefaults',
      '-display',
      'none',
    ],
    ...['-monitor', 'none', '-serial', 'stdio', ...lineArgv(image, socket)],
    ...['-kernel', image.kernel, '-initrd', image.initrd, '-append', `${KERNEL} ${kernel}`],
    ...diskArgv(image),
    ...['-netdev', `tap,id=net,ifname=${iface},script=no,downscript=no`],
    ...['-device', `virtio-net-pci,netdev=net,romfile=,mac=52:54:00:00:00:01${nic}`],
  ];
}

/** A guest with a disk uses virtio's console, which every architecture has; the other one its second serial port. */
function lineArgv({ disk }: MachineImage, socket: string): string[] {
  const options = `${socket},server=on,wait=off`;
  if (disk === undefined) return ['-serial', `unix:${options}`];
  return [
    ...['-chardev', `socket,id=line,path=${options}`],
    ...['-device', 'virtio-serial-pci', '-device', 'virtconsole,chardev=line'],
  ];
}

function diskArgv({ disk, data }: MachineImage): string[] {
  const drives = [
    ...(disk === undefined ? [] : [`file=${disk},snapshot=on`]),
    ...(data === undefined ? [] : [`file=${data},readonly=on`]),
  ];
  return drives.flatMap((drive, index) => [
    ...['-drive', `if=none,id=disk${index},format=raw,${drive}`],
    ...['-device', `virtio-blk-pci,drive=disk${index}`],
  ]);
}
