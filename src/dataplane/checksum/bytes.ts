/** The internet checksum (RFC 1071) of bytes outside an arena. It is slow, and no part of forwarding. */

/** Returns the checksum of a header or message whose checksum field is 0. */
export function internetChecksum(view: DataView): number {
  let sum = 0;
  for (let at = 0; at + 1 < view.byteLength; at += 2) sum += view.getUint16(at);
  if (view.byteLength % 2 === 1) sum += view.getUint8(view.byteLength - 1) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
