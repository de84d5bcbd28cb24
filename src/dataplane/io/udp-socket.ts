/** Opens the UDP sockets of a dataplane. */

import {
  AF_INET,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SK_MEMINFO_DROPS,
  SK_MEMINFO_VARS,
  SO_ATTACH_FILTER,
  SO_DETACH_FILTER,
  SO_MEMINFO,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_FILTER_SIZE,
  SOCK_FPROG_SIZE,
  SOCKADDR_IN6_SIZE,
  SOL_SOCKET,
  SOL_UDP,
  UDP_GRO,
  UDP_SEGMENT,
} from '../../sys/constants.js';
import { addressOf, bind, close, getsockname, getsockopt, setsockopt, socket } from '../../sys/ffi.js';
import {
  isIpv6Address,
  type SocketFamily,
  sockaddr,
  socketFamilyOf,
  type UnderlayAddress,
} from '../../sys/sockaddr.js';
import { SystemError } from '../../sys/system-error.js';

/** Some 4000 full datagrams: a peer at 10 Gbit/s sends as many while the worker is not scheduled for 5 ms. */
const BUFFER_BYTES = 7 * 1024 * 1024;

/** Returns the value of a socket option. */
export function int(value: number): Uint8Array {
  return new Uint8Array(new Int32Array([value]).buffer);
}

function openBound(address: UnderlayAddress, port: number, reusePort: boolean): number {
  const fd = socket(socketFamilyOf(address).domain, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new SystemError('socket', fd);
  if (reusePort) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, int(1));
  if (isIpv6Address(address)) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, int(1));
  const result = bind(fd, sockaddr(address, port));
  if (result < 0) {
    close(fd);
    throw new SystemError('bind', result);
  }
  return fd;
}

/**
 * Sets the size of a socket's buffer. Only CAP_NET_ADMIN in the initial user namespace may exceed net.core.[rw]mem_max:
 * `force` is the option for it, `plain` the other one.
 */
export function setBuffer(fd: number, force: number, plain: number, bytes = BUFFER_BYTES): void {
  if (setsockopt(fd, SOL_SOCKET, force, int(bytes)) < 0) setsockopt(fd, SOL_SOCKET, plain, int(bytes));
}

/** Transmit sockets: enough that a few flows rarely share a source port, few enough that GSO runs stay long. */
const TX_SOCKETS = 16;

/** Returns whether the kernel supports UDP_SEGMENT (4.18) and UDP_GRO (5.0). */
export function supportsGso(): boolean {
  const fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const supported =
    setsockopt(fd, SOL_UDP, UDP_SEGMENT, int(0)) === 0 && setsockopt(fd, SOL_UDP, UDP_GRO, int(1)) === 0;
  close(fd);
  return supported;
}

/** Lets the kernel join arriving datagrams to GRO runs, or not. */
export function setGro(fd: number, joins: boolean): void {
  setsockopt(fd, SOL_UDP, UDP_GRO, int(joins ? 1 : 0));
}

/**
 * Sets send buffer and fragmentation of a socket that datagrams are sent through.
 *
 * IPv4: outer packets leave without DF, as the kernel's vxlan device sends them; flannel's peers rely on it.
 * IPv6: routers do not fragment. The kernel's vxlan device drops packets larger than the path and lowers the inner route's
 * MTU (skb_tunnel_check_pmtu, net/ipv4/ip_tunnel_core.c). A TAP cannot do so; this node fragments those packets, to the
 * size that Packet Too Big messages report. The peer's kernel reassembles them before its tunnel sees them.
 */
export function prepareTxSocket(fd: number, family: SocketFamily): void {
  setBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
  setsockopt(fd, family.level, family.mtuDiscover, int(family.mtuDiscoverNever));
}

/**
 * Opens the transmit sockets, each bound to this address and a port of the kernel's choice. RFC 7348 section 5 asks for a
 * source port that depends on the flow; NIC queues, ECMP paths and a peer's SO_REUSEPORT sockets distribute flows by it.
 * The sockets receive nothing. @throws SystemError
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
    prepareTxSocket(fd, socketFamilyOf(address));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, int(0));
  }
  return fds;
}

/**
 * Opens `count` sockets on one address and port (host order); the caller closes them. The kernel distributes the peers
 * over several sockets. @throws SystemError with EADDRINUSE when another process, also of Weft, has the port
 */
export function openUdpSockets(address: UnderlayAddress, port: number, count: number): number[] {
  const { level, receiveTos } = socketFamilyOf(address);
  const shared = count > 1;
  // With SO_REUSEPORT a second process of the same user could share the port and receive half of the packets. A probe
  // without it fails when another process has the port.
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

/** Returns how many datagrams the kernel dropped at this socket, for any reason; 0 before SO_MEMINFO (4.12). */
export function receiveDrops(fd: number): number {
  const words = new Uint32Array(SK_MEMINFO_VARS);
  const result = getsockopt(fd, SOL_SOCKET, SO_MEMINFO, new Uint8Array(words.buffer), int(words.byteLength));
  return result < 0 ? 0 : words[SK_MEMINFO_DROPS];
}

/** Returns the port that a socket is bound to; 0 if the kernel does not tell it. */
export function portOf(fd: number): number {
  const address = new DataView(new ArrayBuffer(SOCKADDR_IN6_SIZE));
  const result = getsockname(fd, new Uint8Array(address.buffer), int(address.byteLength));
  return result < 0 ? 0 : address.getUint16(2);
}

/** Attaches a program of struct sock_filter, or replaces it. Returns false when the kernel does not accept it. */
export function attachFilter(fd: number, program: Uint8Array): boolean {
  const descriptor = new DataView(new ArrayBuffer(SOCK_FPROG_SIZE));
  descriptor.setUint16(0, program.length / SOCK_FILTER_SIZE, true);
  descriptor.setBigUint64(8, addressOf(program), true);
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, new Uint8Array(descriptor.buffer)) === 0;
}

export function detachFilter(fd: number): void {
  setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, int(0));
}
