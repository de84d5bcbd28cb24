/**
 * Explicit congestion notification through a tunnel, RFC 6040: the outer header carries the inner one's ECN field
 * (normal mode, section 4.1), and what routers made of it comes back into the inner header (section 4.2):
 *
 *                      outer Not-ECT   ECT(0)    ECT(1)    CE
 *     inner Not-ECT          Not-ECT   Not-ECT   Not-ECT   drop
 *     inner ECT(0)            ECT(0)    ECT(0)    ECT(1)   CE
 *     inner ECT(1)            ECT(1)    ECT(1)    ECT(1)   CE
 *     inner CE                    CE        CE        CE   CE
 */

import {
  ETHERNET_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_VLAN,
  etherType,
  VLAN_TAG_LENGTH,
} from '../wire/ethernet.js';
import { IPV4_MIN_LENGTH, ipv4Tos, replaceIpv4Tos } from '../wire/ipv4.js';
import { IPV6_LENGTH, ipv6TrafficClass, setIpv6TrafficClass } from '../wire/ipv6.js';

export const ECN_MASK = 3;
export const NOT_ECT = 0;
export const ECT_1 = 1;
export const ECT_0 = 2;
export const CE = 3;

/** The result of `decapsulateEcn` for a frame that must be dropped. */
export const ECN_DROP = -1;

/** The inner ECN field for each pair, by the table above. */
export function combineEcn(inner: number, outer: number): number {
  if (inner === CE) return CE;
  if (outer === CE) return inner === NOT_ECT ? ECN_DROP : CE;
  return inner === ECT_0 && outer === ECT_1 ? ECT_1 : inner;
}

/** Offset of the IP header behind Ethernet and at most one VLAN tag; -1 when the frame carries no (whole) IP header. */
function ipHeader(view: DataView, frame: number, length: number): number {
  if (length < ETHERNET_LENGTH + IPV4_MIN_LENGTH) return -1;
  const tag = etherType(view, frame) === ETHERTYPE_VLAN ? VLAN_TAG_LENGTH : 0;
  const type = etherType(view, frame + tag);
  const header = type === ETHERTYPE_IPV4 ? IPV4_MIN_LENGTH : type === ETHERTYPE_IPV6 ? IPV6_LENGTH : length;
  return ETHERNET_LENGTH + tag + header <= length ? frame + ETHERNET_LENGTH + tag : -1;
}

function isIpv6(view: DataView, ip: number): boolean {
  return view.getUint8(ip) >> 4 === 6;
}

/** The ECN field for the outer header of a frame; Not-ECT when it is no IP. */
export function encapsulateEcn(view: DataView, frame: number, length: number): number {
  const ip = ipHeader(view, frame, length);
  return ip < 0 ? NOT_ECT : encapsulateIpEcn(view, ip);
}

/** The same for the IP header at `ip`, which is whole. */
export function encapsulateIpEcn(view: DataView, ip: number): number {
  return (isIpv6(view, ip) ? ipv6TrafficClass(view, ip) : ipv4Tos(view, ip)) & ECN_MASK;
}

/** Brings the outer ECN field into the inner header of a frame. False when the frame must be dropped. */
export function decapsulateEcn(view: DataView, frame: number, length: number, outer: number): boolean {
  const ip = ipHeader(view, frame, length);
  return ip < 0 || decapsulateIpEcn(view, ip, outer);
}

/** The same for the IP header at `ip`, which is whole. */
export function decapsulateIpEcn(view: DataView, ip: number, outer: number): boolean {
  const tos = isIpv6(view, ip) ? ipv6TrafficClass(view, ip) : ipv4Tos(view, ip);
  const ecn = combineEcn(tos & ECN_MASK, outer);
  if (ecn === ECN_DROP) return false;
  const wanted = (tos & ~ECN_MASK) | ecn;
  if (wanted === tos) return true;
  if (isIpv6(view, ip)) setIpv6TrafficClass(view, ip, wanted);
  else replaceIpv4Tos(view, ip, wanted);
  return true;
}
