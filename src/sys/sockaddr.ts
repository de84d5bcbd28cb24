/** Addresses of the underlay, and the socket options that differ between its two address families. */

import {
  AF_INET,
  AF_INET6,
  IP_MTU_DISCOVER,
  IP_PMTUDISC_DONT,
  IP_RECVTOS,
  IP_TOS,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_MTU_DISCOVER,
  IPV6_PMTUDISC_DONT,
  IPV6_RECVTCLASS,
  IPV6_TCLASS,
  SOCKADDR_IN_SIZE,
  SOCKADDR_IN6_SIZE,
} from './constants.js';

/** An IPv4 address in host order, signed. */
export type Ipv4Address = number;

/** An IPv6 address as four words in network order, each in host order and signed: `::1` is [0, 0, 0, 1]. */
export type Ipv6Address = readonly [number, number, number, number];

/** An address of this node or of a peer in the underlay. */
export type UnderlayAddress = Ipv4Address | Ipv6Address;

export interface SocketFamily {
  /** Argument of socket(2), and first field of a sockaddr. */
  readonly domain: number;
  /** Bytes of a sockaddr. */
  readonly nameSize: number;
  /** Level of the options below, and of the control message that carries the TOS or traffic class. */
  readonly level: number;
  readonly tos: number;
  readonly receiveTos: number;
  readonly mtuDiscover: number;
  readonly mtuDiscoverNever: number;
}

export const IPV4: SocketFamily = {
  domain: AF_INET,
  nameSize: SOCKADDR_IN_SIZE,
  level: IPPROTO_IP,
  tos: IP_TOS,
  receiveTos: IP_RECVTOS,
  mtuDiscover: IP_MTU_DISCOVER,
  mtuDiscoverNever: IP_PMTUDISC_DONT,
};

export const IPV6: SocketFamily = {
  domain: AF_INET6,
  nameSize: SOCKADDR_IN6_SIZE,
  level: IPPROTO_IPV6,
  tos: IPV6_TCLASS,
  receiveTos: IPV6_RECVTCLASS,
  mtuDiscover: IPV6_MTU_DISCOVER,
  mtuDiscoverNever: IPV6_PMTUDISC_DONT,
};

export function isIpv6Address(address: UnderlayAddress): address is Ipv6Address {
  return typeof address !== 'number';
}

export function socketFamilyOf(address: UnderlayAddress): SocketFamily {
  return isIpv6Address(address) ? IPV6 : IPV4;
}

/** Returns the sockaddr_in or sockaddr_in6 of an address and port (host order). */
export function sockaddr(address: UnderlayAddress, port: number): Uint8Array {
  const { domain, nameSize } = socketFamilyOf(address);
  const view = new DataView(new ArrayBuffer(nameSize));
  view.setUint16(0, domain, true);
  view.setUint16(2, port);
  if (isIpv6Address(address)) address.forEach((word, index) => view.setInt32(8 + 4 * index, word));
  else view.setInt32(4, address);
  return new Uint8Array(view.buffer);
}
