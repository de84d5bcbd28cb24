/** The hash of an inner flow, which spreads flows over source ports, NIC queues and paths (RFC 7348 section 5). */

import type { InnerHeaders } from '../memory/inner-headers.js';

/** Mixes 32 bits into a hash (the finaliser of MurmurHash3, halved). */
function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x85ebca6b);
  return mixed ^ (mixed >>> 13);
}

/**
 * Hashes addresses, protocol and ports of the TCP or UDP frame at `frame`, which has been located. Any other frame is
 * hashed by its MAC addresses, a fragment too, so that all fragments of a datagram have one hash.
 */
export function flowHash(view: DataView, frame: number, headers: InnerHeaders): number {
  const { transport, protocol, addresses, addressBytes } = headers;
  if (transport === 0) {
    return mix(mix(mix(0, view.getInt32(frame)), view.getInt32(frame + 4)), view.getInt32(frame + 8));
  }
  let hash = mix(protocol, view.getInt32(frame + transport));
  const start = frame + addresses;
  for (let at = start; at < start + addressBytes; at += 4) hash = mix(hash, view.getInt32(at));
  return hash;
}
