/** The hash of an inner flow, for spreading flows over source ports, NIC queues and paths (RFC 7348 section 5). */

import { ETHERNET_LENGTH } from '../wire/ethernet.js';
import { Layer4 } from '../wire/inner-headers.js';

const layer4 = new Layer4(ETHERNET_LENGTH);

/** Mixes 32 bits into a hash (the finaliser of MurmurHash3, halved). */
function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x85ebca6b);
  return mixed ^ (mixed >>> 13);
}

/**
 * Hash over addresses, protocol and ports of a TCP or UDP frame; over the MAC addresses of any other, a fragment too,
 * so that the fragments of a datagram stay together.
 */
export function flowHash(view: DataView, frame: number, length: number): number {
  if (!layer4.locate(view, frame, length)) {
    return mix(mix(mix(0, view.getInt32(frame)), view.getInt32(frame + 4)), view.getInt32(frame + 8));
  }
  return hashLocated(view, layer4);
}

/** The same hash of a packet that has been located. */
export function hashLocated(view: DataView, { protocol, header, addresses, addressBytes }: Layer4): number {
  let hash = mix(protocol, view.getInt32(header));
  const end = addresses + addressBytes;
  for (let at = addresses; at < end; at += 4) hash = mix(hash, view.getInt32(at));
  return hash;
}
