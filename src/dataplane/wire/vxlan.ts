/**
 * VXLAN header, RFC 7348 section 5:
 *
 *      0                   1                   2                   3
 *      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *     |R|R|R|R|I|R|R|R|            Reserved                           |
 *     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *     |                VXLAN Network Identifier (VNI) |   Reserved    |
 *     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *
 * `at` is the header's offset in the view; the caller has checked that VXLAN_LENGTH bytes are there.
 */

export const VXLAN_LENGTH = 8;
/** The I flag, in the first 32-bit word. */
export const VXLAN_VNI_VALID = 0x08000000;
export const VXLAN_MAX_VNI = 0xffffff;

/** Writes a header with the I flag set and every reserved bit zero. */
export function writeVxlan(view: DataView, at: number, vni: number): void {
  view.setInt32(at, VXLAN_VNI_VALID);
  view.setInt32(at + 4, vni << 8);
}

/** True when the I flag is set, without which the VNI means nothing. */
export function hasVni(view: DataView, at: number): boolean {
  return (view.getInt32(at) & VXLAN_VNI_VALID) !== 0;
}

/** The VNI, 0 to VXLAN_MAX_VNI. */
export function vniOf(view: DataView, at: number): number {
  return view.getInt32(at + 4) >>> 8;
}

/** True when a reserved bit is set. RFC 7348: ignored on receipt. */
export function hasReservedBits(view: DataView, at: number): boolean {
  return (view.getInt32(at) & ~VXLAN_VNI_VALID) !== 0 || (view.getInt32(at + 4) & 0xff) !== 0;
}
