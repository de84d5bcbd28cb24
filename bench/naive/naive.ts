/**
 * The naive Node dataplane, one packet per call: the baseline that Weft is measured against.
 *
 *     TAP ── fs.read, one frame ──► +8 B ──► dgram send
 *     TAP ◄── fs.write, one frame ── −8 B ◄── dgram 'message'
 *
 * Use: node naive.js <tap> <own address> <leases.json>     (the TAP exists: ip tuntap add; leases.json holds the peers)
 *
 * Packets pass one at a time through Node's own fs and dgram. Node cannot attach a descriptor to the TAP
 * (TUNSETIFF), so koffi does that once at the start. The program is simple on purpose, neither tuned nor slowed down.
 */

import { createSocket } from 'node:dgram';
import { openSync, read, readFileSync, write } from 'node:fs';
import koffi from 'koffi';

const VXLAN_PORT = 8472;
const VXLAN_HEADER = 8;
const VNI = 1;
const FRAME_MAX = 2048;
const TUNSETIFF = 0x400454ca; // linux/if_tun.h
const IFF_TAP_NO_PI = 0x0002 | 0x1000;

interface LeaseFile {
  readonly leases: readonly {
    readonly PublicIP: string;
    readonly BackendData: { readonly VtepMAC: string };
  }[];
}

const [device = '', address = '', leaseFile = ''] = process.argv.slice(2);
const { leases } = JSON.parse(readFileSync(leaseFile, 'utf8')) as LeaseFile;
const fdb = new Map(leases.map((lease) => [lease.BackendData.VtepMAC.replaceAll(':', ''), lease.PublicIP]));

const tap = openTap(device);
const socket = createSocket('udp4');
socket.on('message', (message) => {
  if (message.length < VXLAN_HEADER + 14 || message[0] !== 0x08 || message.readUIntBE(4, 3) !== VNI) return;
  write(tap, message, VXLAN_HEADER, message.length - VXLAN_HEADER, null, () => undefined);
});
socket.bind(VXLAN_PORT, address, () => {
  socket.setRecvBufferSize(4 << 20);
  socket.setSendBufferSize(4 << 20);
  console.error('naive: ready');
  readNext();
});

function readNext(): void {
  const packet = Buffer.alloc(FRAME_MAX);
  packet[0] = 0x08;
  packet.writeUIntBE(VNI, 4, 3);
  read(tap, packet, VXLAN_HEADER, FRAME_MAX - VXLAN_HEADER, null, (error, length) => {
    if (error !== null) throw error;
    const vtep = fdb.get(packet.toString('hex', VXLAN_HEADER, VXLAN_HEADER + 6));
    if (vtep !== undefined) socket.send(packet, 0, VXLAN_HEADER + length, VXLAN_PORT, vtep);
    readNext();
  });
}

function openTap(name: string): number {
  const fd = openSync('/dev/net/tun', 'r+');
  const request = Buffer.alloc(40); // struct ifreq
  request.write(name, 'latin1');
  request.writeInt16LE(IFF_TAP_NO_PI, 16);
  const ioctl = koffi.load(null).func('int ioctl(int fd, unsigned long request, void *argument)');
  if (ioctl(fd, TUNSETIFF, request) !== 0)
    throw new Error(`${name}: TUNSETIFF failed, errno ${koffi.errno()}`);
  return fd;
}
