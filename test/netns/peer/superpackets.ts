/**
 * Sends superpackets from a pod as a program with CAP_NET_RAW can: through a packet socket with a virtio-net header, with
 * any segment size. The destination is a TCP or UDP port without a listener; the TCP segments carry RST, which nobody
 * answers.
 *
 * Use: superpackets.js ADDRESS tcp|udp COUNT SEGMENT_SIZE PAYLOAD_BYTES [OPTION_BYTES]
 *
 * The first router's MAC must be in the neighbour table. The structures are those of linux/if_packet.h and
 * linux/virtio_net.h.
 */

import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import koffi from 'koffi';

const INTERFACE = 'eth0';
const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;
const ENOBUFS = 105;
const VNET_LENGTH = 10;
const ETHERNET_LENGTH = 14;
const IPV4_LENGTH = 20;
const GSO_TCPV4 = 1;
const GSO_UDP_L4 = 5;
const DISCARD_PORT = 9;

const libc = koffi.load(null);
const socket = libc.func('int socket(int domain, int type, int protocol)');
const bind = libc.func('int bind(int fd, void *address, uint32_t length)');
const setsockopt = libc.func('int setsockopt(int fd, int level, int name, void *value, uint32_t length)');
const write = libc.func('long write(int fd, void *buffer, size_t length)');
const if_nametoindex = libc.func('unsigned int if_nametoindex(const char *name)');

function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

function ipBytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

/** Returns the Internet checksum of `bytes`, not complemented. */
function sumOf(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at + 1 < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** Returns a superpacket with its virtio-net header. */
function superpacket(to: string, isTcp: boolean, segment: number, payload: number, options: number): Buffer {
  const own = networkInterfaces()[INTERFACE]?.find(({ family }) => family === 'IPv4');
  const router = /^10\.\S+ +0x1 +0x2 +(\S+)/m.exec(readFileSync('/proc/net/arp', 'utf8'))?.[1];
  if (own === undefined || router === undefined) throw new Error(`${INTERFACE} has no address or no router`);
  const transportLength = (isTcp ? 20 + options : 8) + payload;
  const bytes = Buffer.alloc(VNET_LENGTH + ETHERNET_LENGTH + IPV4_LENGTH + transportLength);
  bytes.writeUInt8(1, 0);
  bytes.writeUInt8(isTcp ? GSO_TCPV4 : GSO_UDP_L4, 1);
  bytes.writeUInt16LE(ETHERNET_LENGTH + IPV4_LENGTH + transportLength - payload, 2);
  bytes.writeUInt16LE(segment, 4);
  bytes.writeUInt16LE(ETHERNET_LENGTH + IPV4_LENGTH, 6);
  bytes.writeUInt16LE(isTcp ? 16 : 6, 8);
  const frame = bytes.subarray(VNET_LENGTH);
  macBytes(router).copy(frame, 0);
  macBytes(own.mac).copy(frame, 6);
  frame.writeUInt16BE(0x0800, 12);
  const ip = frame.subarray(ETHERNET_LENGTH);
  ip.writeUInt16BE(0x4500, 0);
  ip.writeUInt16BE(IPV4_LENGTH + transportLength, 2);
  ip.writeUInt16BE(0x4000, 6);
  ip.writeUInt8(64, 8);
  ip.writeUInt8(isTcp ? 6 : 17, 9);
  ipBytes(own.address).copy(ip, 12);
  ipBytes(to).copy(ip, 16);
  ip.writeUInt16BE(~sumOf(ip.subarray(0, IPV4_LENGTH)) & 0xffff, 10);
  const transport = ip.subarray(IPV4_LENGTH);
  transport.writeUInt16BE(40_000, 0);
  transport.writeUInt16BE(DISCARD_PORT, 2);
  if (isTcp) {
    transport.writeUInt16BE(((20 + options) << 10) | 0x14, 12);
    transport.fill(1, 20, 20 + options);
  } else {
    transport.writeUInt16BE(transportLength, 4);
  }
  const pseudoHeader = Buffer.concat([ip.subarray(12, 20), Buffer.from([0, isTcp ? 6 : 17, 0, 0])]);
  pseudoHeader.writeUInt16BE(transportLength, 10);
  transport.writeUInt16BE(sumOf(pseudoHeader), isTcp ? 16 : 6);
  return bytes;
}

const [to = '', protocol, count, segment, payload, options = '0'] = process.argv.slice(2);
const bytes = superpacket(to, protocol === 'tcp', Number(segment), Number(payload), Number(options));
const fd = socket(AF_PACKET, SOCK_RAW, 0) as number;
const address = Buffer.alloc(20);
address.writeUInt16LE(AF_PACKET, 0);
address.writeUInt16BE(0x0800, 2);
address.writeInt32LE(if_nametoindex(INTERFACE) as number, 4);
const on = Buffer.from(new Int32Array([1]).buffer);
if (
  bind(fd, address, address.length) !== 0 ||
  setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, on, on.length) !== 0
) {
  throw new Error(`packet socket: errno ${koffi.errno()}`);
}
for (let sent = 0; sent < Number(count); sent++) {
  // A full queue counts as sent: the kernel drops the packet.
  const result = write(fd, bytes, bytes.length) as number;
  if (result !== bytes.length && koffi.errno() !== ENOBUFS) throw new Error(`write: errno ${koffi.errno()}`);
}
console.log(`sent ${count}`);
