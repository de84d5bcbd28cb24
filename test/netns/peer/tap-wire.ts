/**
 * Joins two TAP devices, as a virtual machine's network card joins the host's TAP and the guest. It copies every frame from
 * one to the other. With `offloads` both have a virtio-net header and accept superpackets and partial checksums, so that a
 * header of the kernel's reaches the kernel again unchanged.
 *
 * Use: tap-wire.js DEVICE DEVICE offloads|none
 */

import { openSync, read, write } from 'node:fs';
import koffi from 'koffi';

/** linux/if_tun.h */
const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const IFF_TAP_NO_PI = 0x0002 | 0x1000;
const IFF_VNET_HDR = 0x4000;
const TUN_F_CSUM_TSO4_TSO6 = 0x1 | 0x2 | 0x4;
/** A superpacket with its headers. */
const MOST_BYTES = 10 + 14 + 65_535;
const libc = koffi.load(null);
const ioctl = libc.func('int ioctl(int fd, unsigned long request, void *argument)');
const ioctlValue = libc.func('ioctl', 'int', ['int', 'unsigned long', 'unsigned long']);

const [first = '', second = '', mode] = process.argv.slice(2);
const offloads = mode === 'offloads';

function openTap(name: string): number {
  const fd = openSync('/dev/net/tun', 'r+');
  const request = Buffer.alloc(40);
  request.write(name, 'latin1');
  request.writeInt16LE(IFF_TAP_NO_PI | (offloads ? IFF_VNET_HDR : 0), 16);
  if (ioctl(fd, TUNSETIFF, request) !== 0) throw new Error(`TUNSETIFF ${name}: errno ${koffi.errno()}`);
  if (offloads && ioctlValue(fd, TUNSETOFFLOAD, TUN_F_CSUM_TSO4_TSO6) !== 0)
    throw new Error(`TUNSETOFFLOAD ${name}: errno ${koffi.errno()}`);
  return fd;
}

function copy(from: number, to: number): void {
  const bytes = Buffer.alloc(MOST_BYTES);
  const next = (): void =>
    read(from, bytes, 0, MOST_BYTES, null, (error, length) => {
      // A device that is down refuses frames and has none.
      if (error !== null) throw error;
      write(to, bytes, 0, length, null, next);
    });
  next();
}

const ends = [openTap(first), openTap(second)] as const;
console.log('joined');
copy(ends[0], ends[1]);
copy(ends[1], ends[0]);
