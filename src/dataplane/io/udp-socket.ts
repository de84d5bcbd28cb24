/** Opening and configuring the UDP sockets of a node. */

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

/** About 4000 full datagrams: what a 10 Gbit/s peer sends while the worker is not scheduled for 5 ms. */
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

/** Sets a buffer's size. net.core.[rw]mem_max limits it, except with CAP_NET_ADMIN in the initial user namespace. */
function setBuffer(fd: number, force: number, plain: number): void {
  if (setsockopt(fd, SOL_SOCKET, force, int(BUFFER_BYTES)) < 0) {
    setsockopt(fd, SOL_SOCKET, plain, int(BUFFER_BYTES));
  }
}

/** Source ports for the flows: enough that few flows share one, few enough that GSO runs stay long. */
const TX_SOCKETS = 16;

/** Returns true when the kernel cuts GSO runs and joins GRO runs: UDP_SEGMENT (4.18) and UDP_GRO (5.0). */
export function supportsUdpGso(): boolean {
  const fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const supported =
    setsockopt(fd, SOL_UDP, UDP_SEGMENT, int(0)) === 0 && setsockopt(fd, SOL_UDP, UDP_GRO, int(1)) === 0;
  close(fd);
  return supported;
}

/** Lets the kernel join arriving datagrams to GRO runs. */
export function enableUdpGro(fd: number): void {
  setsockopt(fd, SOL_UDP, UDP_GRO, int(1));
}

/**
 * Configures a socket for transmission.
 *
 * Over IPv4 outer packets have no DF, as those of the kernel's vxlan device (flannel's peers rely on it). Over IPv6
 * routers do not fragment; the kernel's device drops packets that are larger than the path MTU and lowers the inner
 * route's MTU (skb_tunnel_check_pmtu, net/ipv4/ip_tunnel_core.c), which a TAP cannot do. So this node's kernel
 * fragments such a packet, by the path MTU that routers report (Packet Too Big), and the peer's kernel reassembles it.
 */
export function configureTxSocket(fd: number, family: Family): void {
  setBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
  setsockopt(fd, family.level, family.mtuDiscover, int(family.mtuDiscoverNever));
}

/**
 * Opens the transmit sockets (the caller's to close), each with a source port that the kernel chooses on this address.
 * They receive nothing. RFC 7348 section 5: a flow's source port depends on the flow, so NIC queues, ECMP paths and a
 * peer's SO_REUSEPORT sockets distinguish flows. @throws SystemError
 */
export function openTxSockets(address: UnderlayAddress): number[] {
  const fds: number[] = [];
  try {
    while (fds.length < TX_SOCKETS) fds.push(openBound(address, 0, false));
  } catch (error) {
    for (const fd of fds) close(fd);
    throw error;
  }
  for (const fd of fds) {
    configureTxSocket(fd, familyOf(address));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, int(0));
  }
  return fds;
}

/**
 * Opens `count` sockets (the caller's to close) on one address and port (host order); the kernel spreads the peers over
 * several. @throws SystemError with EADDRINUSE when another socket has the port, one of another Weft process too
 */
export function openUdpSockets(address: UnderlayAddress, port: number, count: number): number[] {
  const { level, receiveTos } = familyOf(address);
  const shared = count > 1;
  // With SO_REUSEPORT a second process of the same user could share the port and receive half of the packets. A socket
  // without it fails to bind then, so it is tried first.
  if (shared) close(openBound(address, port, false));
  const fds: number[] = [];
  try {
    while (fds.length < count) fds.push(openBound(address, port, shared));
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

/**
 * Returns how many datagrams the kernel dropped because the socket's receive buffer was full; 0 if it does not tell.
 */
export function receiveOverflows(fd: number): number {
  const words = new Uint32Array(SK_MEMINFO_VARS);
  const result = getsockopt(fd, SOL_SOCKET, SO_MEMINFO, new Uint8Array(words.buffer), int(words.byteLength));
  return result < 0 ? 0 : words[SK_MEMINFO_DROPS];
}
