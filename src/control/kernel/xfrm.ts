/**
 * IPsec policies (ip-xfrm(8)). No policy sees a datagram of the fast path: it leaves unencrypted, and it arrives although a
 * policy requires encryption. So the fast path must not carry what a policy may match.
 */

import { AF_INET, NETLINK_XFRM, XFRM_MSG_GETPOLICY } from '../../sys/constants.js';
import { EPROTONOSUPPORT } from '../../sys/errno.js';
import { dump } from '../../sys/netlink.js';
import { SystemError } from '../../sys/system-error.js';
import type { Ip } from '../addresses/ip.js';

/** struct xfrm_userpolicy_id: a selector of 56 bytes, index u32, direction u8. Zeros ask for all policies. */
const REQUEST_SIZE = 64;
/** Offset of the direction in struct xfrm_userpolicy_info. Those of sockets have other directions. */
const DIRECTION = 160;
const IN = 0;
const OUT = 1;
const IPPROTO_UDP = 17;
/** Offsets in struct xfrm_selector. Addresses and ports are in network order. */
const SELECTOR = {
  destination: 0,
  source: 16,
  destinationPort: 32,
  destinationPortMask: 34,
  family: 40,
  destinationLength: 42,
  sourceLength: 43,
  protocol: 44,
} as const;

/** The datagrams of a tunnel. Addresses are IPv4. */
export interface Datagrams {
  own: Ip;
  peers: readonly Ip[];
  port: number;
}

/** Returns whether a policy may match a datagram from or to a peer. @throws SystemError if policies cannot be read */
export function hasMatchingPolicy(datagrams: Datagrams): boolean {
  return readPolicies().some((policy) => mayMatch(policy, datagrams));
}

function readPolicies(): Buffer[] {
  try {
    return dump(NETLINK_XFRM, 'list IPsec policies', XFRM_MSG_GETPOLICY, Buffer.alloc(REQUEST_SIZE));
  } catch (error) {
    // A kernel without IPsec.
    if (error instanceof SystemError && error.errno === EPROTONOSUPPORT) return [];
    throw error;
  }
}

/** Returns whether a policy (struct xfrm_userpolicy_info) may match. The source port of a datagram may be any. */
export function mayMatch(policy: Buffer, { own, peers, port }: Datagrams): boolean {
  if (policy.length <= DIRECTION) return true;
  const direction = policy.readUInt8(DIRECTION);
  const family = policy.readUInt16LE(SELECTOR.family);
  const protocol = policy.readUInt8(SELECTOR.protocol);
  if (direction !== IN && direction !== OUT) return false;
  if (family !== AF_INET && family !== 0) return false;
  if (protocol !== 0 && protocol !== IPPROTO_UDP) return false;
  const portMask = policy.readUInt16BE(SELECTOR.destinationPortMask);
  if ((policy.readUInt16BE(SELECTOR.destinationPort) & portMask) !== (port & portMask)) return false;
  const [ours, theirs] =
    direction === OUT
      ? ([SELECTOR.source, SELECTOR.destination] as const)
      : ([SELECTOR.destination, SELECTOR.source] as const);
  return contains(policy, ours, own) && peers.some((peer) => contains(policy, theirs, peer));
}

function contains(policy: Buffer, field: 0 | 16, address: Ip): boolean {
  const length = policy.readUInt8(
    field === SELECTOR.destination ? SELECTOR.destinationLength : SELECTOR.sourceLength,
  );
  const shift = 32 - Math.min(length, 32);
  return shift === 32 || policy.readUInt32BE(field) >>> shift === Number(address) >>> shift;
}
