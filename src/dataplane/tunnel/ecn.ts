/**
 * Explicit congestion notification through a tunnel, RFC 6040. The outer header carries the ECN field of the inner
 * header (normal mode, section 4.1). The far end combines the received outer field into the inner header (section 4.2):
 *
 *                      outer Not-ECT   ECT(0)    ECT(1)    CE
 *     inner Not-ECT          Not-ECT   Not-ECT   Not-ECT   drop
 *     inner ECT(0)            ECT(0)    ECT(0)    ECT(1)   CE
 *     inner ECT(1)            ECT(1)    ECT(1)    ECT(1)   CE
 *     inner CE                    CE        CE        CE   CE
 */

import { ipv4Tos, replaceIpv4Tos } from '../wire/ipv4.js';
import { ipv6TrafficClass, ipv6Version, setIpv6TrafficClass } from '../wire/ipv6.js';

export const ECN_MASK = 3;
export const NOT_ECT = 0;
export const ECT_1 = 1;
export const ECT_0 = 2;
export const CE = 3;

/** The result of `combineEcn` for a packet that must be dropped. */
export const ECN_DROP = -1;

/** Returns the inner ECN field for a pair, by the table above. */
export function combineEcn(inner: number, outer: number): number {
  if (inner === CE) return CE;
  if (outer === CE) return inner === NOT_ECT ? ECN_DROP : CE;
  return inner === ECT_0 && outer === ECT_1 ? ECT_1 : inner;
}

/** Returns the ECN field for the outer header of a packet, whose IP header at `ip` is whole. */
export function encapsulateEcn(view: DataView, ip: number): number {
  return tosOf(view, ip) & ECN_MASK;
}

/**
 * Combines the outer ECN field into the IP header at `ip`, which is whole. Returns false when the packet must be
 * dropped.
 */
export function decapsulateEcn(view: DataView, ip: number, outer: number): boolean {
  const tos = tosOf(view, ip);
  const ecn = combineEcn(tos & ECN_MASK, outer);
  if (ecn === ECN_DROP) return false;
  const combined = (tos & ~ECN_MASK) | ecn;
  if (combined === tos) return true;
  if (ipv6Version(view, ip) === 6) setIpv6TrafficClass(view, ip, combined);
  else replaceIpv4Tos(view, ip, combined);
  return true;
}

function tosOf(view: DataView, ip: number): number {
  return ipv6Version(view, ip) === 6 ? ipv6TrafficClass(view, ip) : ipv4Tos(view, ip);
}
