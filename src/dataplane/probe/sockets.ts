/** The sockets of a probe: raw ICMP, and poll(2) over a few descriptors. They need CAP_NET_RAW. */

import {
  IP_PMTUDISC_PROBE,
  IPV6_PMTUDISC_PROBE,
  MSG_DONTWAIT,
  POLLFD_SIZE,
  POLLIN,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOCKADDR_IN6_SIZE,
  TIMESPEC_SIZE,
} from '../../sys/constants.js';
import { addressOf, bind, close, ppoll, recvfrom, sendto, setsockopt, socket } from '../../sys/ffi.js';
import { isIpv6Address, sockaddr, socketFamilyOf, type UnderlayAddress } from '../../sys/sockaddr.js';
import { SystemError } from '../../sys/system-error.js';
import { int, setBuffer } from '../io/udp-socket.js';
import { IPPROTO_ICMP, IPPROTO_ICMPV6 } from '../wire/icmp.js';
import { ipv4HeaderLength, ipv4Source } from '../wire/ipv4.js';
import { ECHO4, ECHO6, type EchoKind, key4, key6, parseIcmp, type Received } from './echo.js';

/** Room for the probes to a thousand peers whose neighbours are not resolved yet. */
const BUFFER_BYTES = 16 * 1024 * 1024;
/** The headers of a message and of the packet that an error quotes. */
const KEPT = 256;

const NO_FLAGS = MSG_DONTWAIT;

/** Returns the form in which addresses are compared. */
export function keyOf(address: UnderlayAddress): string {
  return isIpv6Address(address) ? address.join() : key4(address);
}

export interface FromPeer {
  /** The sender's address as `keyOf` returns it. */
  source: string;
  message: Received;
}

export class IcmpSocket {
  readonly kind: EchoKind;
  readonly fd: number;
  private readonly bytes = new Uint8Array(KEPT);
  private readonly view = new DataView(this.bytes.buffer);
  private readonly name = new Uint8Array(SOCKADDR_IN6_SIZE);
  private readonly nameView = new DataView(this.name.buffer);

  /** Packets leave with DF. With `source` they have this address, and the socket receives nothing. @throws SystemError */
  constructor(sample: UnderlayAddress, source?: UnderlayAddress) {
    const ipv6 = isIpv6Address(sample);
    const { domain, level, mtuDiscover } = socketFamilyOf(sample);
    this.kind = ipv6 ? ECHO6 : ECHO4;
    this.fd = socket(domain, SOCK_RAW | SOCK_CLOEXEC, ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    if (this.fd < 0) throw new SystemError('socket', this.fd);
    setsockopt(this.fd, level, mtuDiscover, int(ipv6 ? IPV6_PMTUDISC_PROBE : IP_PMTUDISC_PROBE));
    setBuffer(this.fd, SO_SNDBUFFORCE, SO_SNDBUF, BUFFER_BYTES);
    setBuffer(this.fd, SO_RCVBUFFORCE, SO_RCVBUF, source === undefined ? BUFFER_BYTES : 0);
    const result = source === undefined ? 0 : bind(this.fd, sockaddr(source, 0));
    if (result >= 0) return;
    close(this.fd);
    throw new SystemError('bind', result);
  }

  /** Returns 0, or the negated errno. */
  send(to: UnderlayAddress, message: Uint8Array): number {
    return Math.min(sendto(this.fd, message, NO_FLAGS, sockaddr(to, 0)), 0);
  }

  /** Returns the next message that concerns a probe; undefined if none waits. */
  next(): FromPeer | undefined {
    const { bytes, view, name, kind } = this;
    for (;;) {
      const length = recvfrom(this.fd, bytes, MSG_DONTWAIT, name, int(SOCKADDR_IN6_SIZE));
      if (length < 0) return undefined;
      // A raw socket of IPv4 also delivers the IP header.
      const at = kind === ECHO4 ? ipv4HeaderLength(view, 0) : 0;
      const part = new DataView(bytes.buffer, 0, length);
      const message = parseIcmp(kind, part, at);
      if (message === undefined) continue;
      return { source: kind === ECHO4 ? key4(ipv4Source(view, 0)) : key6(this.nameView, 8), message };
    }
  }

  close(): void {
    close(this.fd);
  }
}

/** Waits until a descriptor is readable, at most `ms`. */
export class Waiter {
  private readonly pollfds: Uint8Array;
  private readonly count: number;
  private readonly timespec = new BigInt64Array(TIMESPEC_SIZE / 8);

  constructor(fds: readonly number[]) {
    this.count = fds.length;
    this.pollfds = new Uint8Array(fds.length * POLLFD_SIZE);
    const view = new DataView(this.pollfds.buffer);
    fds.forEach((fd, index) => {
      view.setInt32(index * POLLFD_SIZE, fd, true);
      view.setInt16(index * POLLFD_SIZE + 4, POLLIN, true);
    });
  }

  wait(ms: number): void {
    const nanoseconds = BigInt(Math.max(Math.round(ms * 1e6), 0));
    this.timespec.set([nanoseconds / 1_000_000_000n, nanoseconds % 1_000_000_000n]);
    ppoll(addressOf(this.pollfds), this.count, addressOf(new Uint8Array(this.timespec.buffer)));
  }
}
