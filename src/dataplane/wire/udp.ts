/**
 * UDP header, RFC 768: 0: source port | 2: destination port | 4: length | 6: checksum. `at` is the header's offset;
 * the caller has checked that UDP_LENGTH bytes are there.
 */

export const IPPROTO_UDP = 17;
export const UDP_LENGTH = 8;
export const UDP_LENGTH_FIELD = 4;
export const UDP_CHECKSUM = 6;

/** Returns the bytes of header and payload. */
export function udpLength(view: DataView, at: number): number {
  return view.getUint16(at + UDP_LENGTH_FIELD);
}

export function setUdpLength(view: DataView, at: number, length: number): void {
  view.setUint16(at + UDP_LENGTH_FIELD, length);
}
