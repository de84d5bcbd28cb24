/**
 * What follows from an error of a system call: one row per call and errno, each with its source.
 *
 * The forwarding threads look an errno up in the array of its call, which is built once. docs/errors.md has the same
 * table; a test compares the two.
 */

import {
  EACCES,
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAGAIN,
  EBADF,
  EBADFD,
  EBUSY,
  EFAULT,
  EHOSTUNREACH,
  EINTR,
  EINVAL,
  EIO,
  EMSGSIZE,
  ENETDOWN,
  ENETUNREACH,
  ENOBUFS,
  ENODEV,
  ENOMEM,
  ENOTSOCK,
  EPERM,
} from './errno.js';

export type Outcome = 'retry' | 'count' | 'lower' | 'device gone' | 'underlay gone' | 'fatal';

/** The call is made again: nothing is lost. A superpacket or GSO run is sent again as single packets. */
export const RETRY = 0;
/** The packets of the call are dropped and counted; a call without packets is counted. Forwarding continues. */
export const COUNT = 1;
/** As RETRY; the direction may fall back to single packets. */
export const LOWER = 2;
/** The device is recreated. */
export const DEVICE_GONE = 3;
/** The underlay does not carry the packets at present: they are dropped and counted, and Weft waits for the underlay. */
export const UNDERLAY_GONE = 4;
/** A descriptor or the memory of a call is wrong: Weft exits with 1. */
export const FATAL = 5;

const OUTCOMES: readonly Outcome[] = ['retry', 'count', 'lower', 'device gone', 'underlay gone', 'fatal'];

export type Call = 'read' | 'writev' | 'recvmmsg' | 'sendmmsg' | 'ppoll' | 'bind' | 'dup3';

/** `read` and `writev` are those of the device. */
export interface CallError {
  call: Call;
  errno: number;
  outcome: Outcome;
  /** The cause, and where the kernel or its manual names it. */
  source: string;
}

function row(call: Call, errno: number, outcome: Outcome, source: string): CallError {
  return { call, errno, outcome, source };
}

export const CALL_ERRORS: readonly CallError[] = [
  row('read', EAGAIN, 'retry', 'the queue is empty: drivers/net/tun.c, tun_ring_recv'),
  row('read', EINTR, 'retry', 'a signal: signal(7)'),
  row('read', EINVAL, 'count', 'a packet of an unknown GSO type is dropped: drivers/net/tun.c, tun_put_user'),
  row('read', EIO, 'count', 'the device is being unregistered: drivers/net/tun.c, tun_do_read before 4.8'),
  row('read', ENOMEM, 'count', 'no kernel memory: read(2)'),
  row('read', ENOBUFS, 'count', 'no kernel memory: net/core/sock.c'),
  row('read', EBADFD, 'device gone', 'the device was deleted: drivers/net/tun.c, tun_chr_read_iter'),
  row('read', EBADF, 'device gone', 'the descriptor was closed: read(2)'),
  row('read', EFAULT, 'fatal', 'the buffer is outside the address space: read(2)'),

  row('writev', EAGAIN, 'count', 'the send buffer is full: net/core/sock.c, sock_alloc_send_pskb'),
  row('writev', EINTR, 'count', 'a signal: signal(7)'),
  row('writev', EIO, 'count', 'the device is down: drivers/net/tun.c, tun_get_user'),
  row('writev', ENOMEM, 'retry', 'no kernel memory for so large a packet: drivers/net/tun.c, tun_get_user'),
  row('writev', ENOBUFS, 'retry', 'no kernel memory: net/core/sock.c, sock_alloc_send_pskb'),
  row(
    'writev',
    EINVAL,
    'lower',
    'a superpacket is refused: include/linux/virtio_net.h, virtio_net_hdr_to_skb',
  ),
  row('writev', EBADFD, 'device gone', 'the device was deleted: drivers/net/tun.c, tun_chr_write_iter'),
  row('writev', EBADF, 'device gone', 'the descriptor was closed: writev(2)'),
  row('writev', EFAULT, 'fatal', 'a buffer is outside the address space: writev(2)'),

  row('recvmmsg', EAGAIN, 'retry', 'no datagram waits: recv(2)'),
  row('recvmmsg', EINTR, 'retry', 'a signal: recv(2)'),
  row('recvmmsg', ENOMEM, 'count', 'no kernel memory: recv(2)'),
  row('recvmmsg', ENOBUFS, 'count', 'no kernel memory: net/core/sock.c'),
  row('recvmmsg', ENETDOWN, 'count', 'the interface is down: net/core/dev.c'),
  row('recvmmsg', EBADF, 'fatal', 'the descriptor was closed: recv(2)'),
  row('recvmmsg', ENOTSOCK, 'fatal', 'the descriptor is no socket: recv(2)'),
  row('recvmmsg', EFAULT, 'fatal', 'a buffer is outside the address space: recv(2)'),
  row('recvmmsg', EINVAL, 'fatal', 'an argument is wrong: recvmmsg(2)'),

  row('sendmmsg', EAGAIN, 'retry', 'the send buffer is full: send(2); after 5 ms the packets are dropped'),
  row('sendmmsg', EINTR, 'retry', 'a signal: send(2)'),
  row('sendmmsg', EINVAL, 'retry', 'a GSO run exceeds the MTU of its route: net/ipv4/udp.c, udp_send_skb'),
  row('sendmmsg', EMSGSIZE, 'retry', 'a GSO run exceeds the MTU of its route: net/ipv4/udp.c, udp_send_skb'),
  row('sendmmsg', EIO, 'lower', 'no checksum offload before 6.11, or IPsec: net/ipv4/udp.c, udp_send_skb'),
  row('sendmmsg', ENOBUFS, 'count', 'the queue of the interface is full: send(2)'),
  row('sendmmsg', ENOMEM, 'count', 'no kernel memory: send(2)'),
  row('sendmmsg', EPERM, 'count', 'a firewall drops the datagram: net/netfilter/core.c, nf_hook_slow'),
  row('sendmmsg', EACCES, 'count', 'a prohibit route, or a broadcast address: net/ipv4/route.c'),
  row('sendmmsg', ENETUNREACH, 'underlay gone', 'no route: net/ipv4/route.c, ip_route_output_key_hash_rcu'),
  row('sendmmsg', EHOSTUNREACH, 'underlay gone', 'an unreachable route: net/ipv4/fib_semantics.c, fib_props'),
  row('sendmmsg', ENETDOWN, 'underlay gone', 'the interface is down: net/core/dev.c'),
  row('sendmmsg', ENODEV, 'underlay gone', 'the interface was deleted: net/ipv4/route.c'),
  row('sendmmsg', EADDRNOTAVAIL, 'underlay gone', 'the address was removed: net/ipv6/route.c'),
  row('sendmmsg', EBADF, 'fatal', 'the descriptor was closed: send(2)'),
  row('sendmmsg', ENOTSOCK, 'fatal', 'the descriptor is no socket: send(2)'),
  row('sendmmsg', EFAULT, 'fatal', 'a buffer is outside the address space: send(2)'),

  row('ppoll', EINTR, 'retry', 'a signal: poll(2)'),
  row('ppoll', EAGAIN, 'retry', 'no kernel memory: poll(2)'),
  row('ppoll', ENOMEM, 'retry', 'no kernel memory: poll(2)'),
  row('ppoll', EBADF, 'fatal', 'the doorbell was closed (POLLNVAL): poll(2)'),
  row('ppoll', EFAULT, 'fatal', 'the array is outside the address space: poll(2)'),
  row('ppoll', EINVAL, 'fatal', 'RLIMIT_NOFILE is below the number of descriptors: poll(2)'),

  row('bind', EADDRNOTAVAIL, 'underlay gone', 'no interface has the address: bind(2)'),
  row('bind', EADDRINUSE, 'fatal', 'another socket has the port: bind(2)'),
  row('bind', EACCES, 'fatal', 'a port below 1024 without CAP_NET_BIND_SERVICE: ip(7)'),
  row('bind', EPERM, 'fatal', 'a security module or seccomp: seccomp(2)'),

  row('dup3', EBUSY, 'retry', 'a race with open: dup(2)'),
  row('dup3', EINTR, 'retry', 'a signal while the old file is closed: dup(2)'),
  row('dup3', EBADF, 'fatal', 'a descriptor was closed: dup(2)'),
];

/** The outcome of every other errno of a call. */
export const OTHER_ERRORS: Readonly<Record<Call, Outcome>> = {
  read: 'count',
  writev: 'lower',
  recvmmsg: 'count',
  sendmmsg: 'count',
  ppoll: 'fatal',
  bind: 'fatal',
  dup3: 'fatal',
};

/** Above the highest errno of Linux: EHWPOISON is 133. */
const ERRNOS = 134;

function outcomesOf(call: Call): Uint8Array {
  const outcomes = new Uint8Array(ERRNOS).fill(OUTCOMES.indexOf(OTHER_ERRORS[call]));
  for (const error of CALL_ERRORS) {
    if (error.call === call) outcomes[error.errno] = OUTCOMES.indexOf(error.outcome);
  }
  return outcomes;
}

/** The outcome of each errno (positive) of a call. */
export const READ = outcomesOf('read');
export const WRITEV = outcomesOf('writev');
export const RECVMMSG = outcomesOf('recvmmsg');
export const SENDMMSG = outcomesOf('sendmmsg');
export const PPOLL = outcomesOf('ppoll');
export const BIND = outcomesOf('bind');
export const DUP3 = outcomesOf('dup3');
