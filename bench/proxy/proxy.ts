/**
 * A one-packet-per-call proxy for flannel's udp backend, built like flannel's own: the baseline that Weft's udp tunnel
 * is measured against.
 *
 *     TUN ── read ──► route, TTL − 1 ──► sendto      one packet a call, poll in between
 *     TUN ◄── write ── TTL − 1 ◄── recvfrom
 *
 * Use: node proxy.js <tun> <own address> <leases.json>     (the TUN exists: ip tuntap add; leases.json holds the peers)
 *
 * System calls use Weft's FFI module, so that only their number and the work per packet differ.
 * Routes are a list that is searched from its start; a hit moves to the front.
 */

import { readFileSync } from 'node:fs';
import { parseIpv4 } from '../../src/control/addresses/ip.js';
import { openUdpSockets } from '../../src/dataplane/io/udp-socket.js';
import { Arena } from '../../src/dataplane/memory/arena.js';
import {
  decrementIpv4Ttl,
  IPV4_MIN_LENGTH,
  ipv4Destination,
  ipv4Ttl,
} from '../../src/dataplane/wire/ipv4.js';
import {
  AF_INET,
  IFF_NO_PI,
  IFF_TUN,
  IFNAMSIZ,
  IFREQ_SIZE,
  IOVEC_SIZE,
  MMSGHDR_SIZE,
  MSG_DONTWAIT,
  MSGHDR_IOV,
  MSGHDR_IOVLEN,
  MSGHDR_NAME,
  MSGHDR_NAMELEN,
  O_NONBLOCK,
  O_RDWR,
  POLLFD_SIZE,
  POLLIN,
  SOCKADDR_IN_SIZE,
  TUNSETIFF,
} from '../../src/sys/constants.js';
import { ioctl, open, ppoll, read, sendmmsg, write } from '../../src/sys/ffi.js';

const UDP_PORT = 8285;
const PACKET_MAX = 2048;

interface Route {
  readonly base: number;
  readonly mask: number;
  readonly peer: number;
}

/** Returns an IPv4 address in host order, signed. */
function ipv4(text: string): number {
  return (parseIpv4(text) ?? 0) | 0;
}

const [device = '', address = '', leaseFile = ''] = process.argv.slice(2);
const { leases } = JSON.parse(readFileSync(leaseFile, 'utf8')) as {
  leases: { Subnet: string; PublicIP: string }[];
};
const routes: Route[] = leases.map(({ Subnet, PublicIP }) => {
  const [base = '', prefix = ''] = Subnet.split('/');
  const mask = -1 << (32 - Number(prefix));
  return { base: ipv4(base) & mask, mask, peer: ipv4(PublicIP) };
});

const arena = new Arena(1 << 16);
const packet = arena.reserve(PACKET_MAX);
const packetAddress = arena.address(packet);
const name = arena.reserve(SOCKADDR_IN_SIZE);
const iovec = arena.reserve(IOVEC_SIZE);
const message = arena.reserve(MMSGHDR_SIZE);
const messageAddress = arena.address(message);
const pollfds = arena.reserve(2 * POLLFD_SIZE);
const pollAddress = arena.address(pollfds);

const tun = openTun(device);
const [socket = -1] = openUdpSockets(ipv4(address), UDP_PORT, 1);
arena.view.setUint16(name, AF_INET, true);
arena.view.setUint16(name + 2, UDP_PORT);
arena.writePointer(message + MSGHDR_NAME, name);
arena.words[(message + MSGHDR_NAMELEN) >> 2] = SOCKADDR_IN_SIZE;
arena.writePointer(message + MSGHDR_IOV, iovec);
arena.words[(message + MSGHDR_IOVLEN) >> 2] = 1;
for (const [index, fd] of [tun, socket].entries()) {
  const word = (pollfds + index * POLLFD_SIZE) >> 2;
  arena.words[word] = fd;
  arena.words[word + 1] = POLLIN;
}
console.error('proxy: ready');
for (;;) {
  // The socket blocks, so it is read only when poll reports input.
  ppoll(pollAddress, 2, 0n);
  if (hasInput(0)) forwardOut();
  if (hasInput(1)) forwardIn();
}

function hasInput(index: number): boolean {
  return (arena.view.getInt16(pollfds + index * POLLFD_SIZE + 6, true) & POLLIN) !== 0;
}

function forwardOut(): void {
  const length = read(tun, packetAddress, PACKET_MAX);
  if (length < IPV4_MIN_LENGTH) return;
  const peer = peerOf(ipv4Destination(arena.view, packet));
  if (peer === 0 || !decrementTtl()) return;
  arena.view.setInt32(name + 4, peer);
  arena.writeIovec(iovec, packet, length);
  // sendmmsg with one message does what sendto does.
  sendmmsg(socket, messageAddress, 1, MSG_DONTWAIT);
}

function forwardIn(): void {
  const length = read(socket, packetAddress, PACKET_MAX);
  if (length < IPV4_MIN_LENGTH || !decrementTtl()) return;
  write(tun, packetAddress, length);
}

/** Decrements the packet's TTL; returns false if it has expired. */
function decrementTtl(): boolean {
  if (ipv4Ttl(arena.view, packet) <= 1) return false;
  decrementIpv4Ttl(arena.view, packet);
  return true;
}

function peerOf(destination: number): number {
  for (let index = 0; index < routes.length; index++) {
    const route = routes[index];
    if ((destination & route.mask) !== route.base) continue;
    routes[index] = routes[0];
    routes[0] = route;
    return route.peer;
  }
  return 0;
}

function openTun(tunName: string): number {
  const fd = open('/dev/net/tun', O_RDWR | O_NONBLOCK);
  const request = new Uint8Array(IFREQ_SIZE);
  request.set(new TextEncoder().encode(tunName).subarray(0, IFNAMSIZ - 1));
  new DataView(request.buffer).setUint16(IFNAMSIZ, IFF_TUN | IFF_NO_PI, true);
  const result = ioctl(fd, TUNSETIFF, request);
  if (result < 0) throw new Error(`${tunName}: TUNSETIFF failed, errno ${-result}`);
  return fd;
}
