/** Making the UDP sockets of a tunnel's end. */

import {
  AF_INET,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SK_MEMINFO_DROPS,
  SK_MEMINFO_VARS,
  SO_MEMINFO,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOL_SOCKET,
  SOL_UDP,
  UDP_GRO,
  UDP_SEGMENT,
} from '../../sys/constants.js';
import { bind, close, getsockopt, setsockopt, socket } from '../../sys/ffi.js';
import { type Family, familyOf, isIpv6, sockaddr, type UnderlayAddress } from '../../sys/sockaddr.js';
import { SystemError } from '../../sys/system-error.js';

/** Some 4000 full datagrams: what a burst of a 10 Gbit/s peer leaves while the worker is not scheduled for 5 ms. */
const BUFFER_BYTES = 7 * 1024 * 1024;

function int(value: number): Uint8Array {
  return new Uint8Array(new Int32Array([value]).buffer);
}

function openBound(address: UnderlayAddress, port: number, reusePort: boolean): number {
  const fd = socket(familyOf(address).domain, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new SystemError('socket', fd);
  if (reusePort) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, int(1));
  if (isIpv6(address)) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, int(1));
  const result = bind(fd, sockaddr(address, port));
  if (result < 0) {
    close(fd);
    throw new SystemError('bind', result);
  }
  return fd;
}

/** The limits of net.core.[rw]mem_max hold for everyone but CAP_NET_ADMIN of the first user namespace. */
function setBuffer(fd: number, force: number, plain: number): void {
  if (setsockopt(fd, SOL_SOCKET, force, int(BUFFER_BYTES)) < 0) {
    setsockopt(fd, SOL_SOCKET, plain, int(BUFFER_BYTES));
  }
}

/** Source ports for the flows: enough that a few flows rarely share one, few enough to keep a train's flows together. */
const SENDERS = 16;

/** Probes whether the kernel cuts and joins trains: UDP_SEGMENT (4.18) and UDP_GRO (5.0). */
export function canSendTrains(): boolean {
  const fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const can =
    setsockopt(fd, SOL_UDP, UDP_SEGMENT, int(0)) === 0 && setsockopt(fd, SOL_UDP, UDP_GRO, int(1)) === 0;
  close(fd);
  return can;
}

/** Lets the kernel join arriving datagrams to trains. */
export function acceptTrains(fd: number): void {
  setsockopt(fd, SOL_UDP, UDP_GRO, int(1));
}

/**
 * Prepares a socket to be sent through.
 *
 * Over IPv4 outer packets go without DF, as the kernel's vxlan device sends them (flannel's peers rely on it). Over IPv6 no
 * router fragments; there the kernel's device drops what is larger than the path and lowers the inner route's MTU
 * (skb_tunnel_check_pmtu, net/ipv4/ip_tunnel_core.c), which a TAP cannot. So this node fragments such a packet, after what
 * routers say of the path (Packet Too Big), and the peer's kernel joins it before its tunnel sees it.
 */
export function allowSending(fd: number, family: Family): void {
  setBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
  setsockopt(fd, family.level, family.mtuDiscover, int(family.mtuDiscoverNever));
}

/**
 * Sockets to send from, each with a source port of the kernel's choice on this address: RFC 7348 section 5 wants a
 * flow's source port to depend on the flow, so that NIC queues, ECMP paths and a peer's SO_REUSEPORT sockets tell flows
 * apart. They receive nothing. @throws SystemError
 */
export function openSenders(address: UnderlayAddress): number[] {
  const fds: number[] = [];
  try {
    while (fds.length < SENDERS) fds.push(openBound(address, 0, false));
  } catch (error) {
    for (const fd of fds) close(fd);
    throw error;
  }
  for (const fd of fds) {
    allowSending(fd, familyOf(address));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, int(0));
  }
  return fds;
}

/**
 * `count` sockets (the caller's to close) on one address and port (host order); with several the
 * kernel spreads the senders over them. @throws SystemError with EADDRINUSE when anyone else, another weft too, has
 * the port
 */
export function openUdpSockets(address: UnderlayAddress, port: number, count: number): number[] {
  const { level, receiveTos } = familyOf(address);
  // SO_REUSEPORT would let a second process of the same user share the port and take half of the packets; so the
  // port is first bound without it.
  const first = openBound(address, port, false);
  const fds = [first];
  if (count > 1) {
    close(first);
    fds.length = 0;
  }
  try {
    while (fds.length < count) fds.push(openBound(address, port, true));
  } catch (error) {
    for (const fd of fds) close(fd);
    throw error;
  }
  for (const fd of fds) {
    setBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    setsockopt(fd, level, receiveTos, int(1));
  }
  return fds;
}

/** Datagrams the kernel dropped because the socket's receive buffer was full; 0 where the kernel cannot tell. */
export function receiveOverflows(fd: number): number {
  const words = new Uint32Array(SK_MEMINFO_VARS);
  const result = getsockopt(fd, SOL_SOCKET, SO_MEMINFO, new Uint8Array(words.buffer), int(words.byteLength));
  return result < 0 ? 0 : words[SK_MEMINFO_DROPS];
}
