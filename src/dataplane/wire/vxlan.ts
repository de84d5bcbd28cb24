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
 * Group Policy (draft-smith-vxlan-group-policy; the kernel's GBP, include/net/vxlan.h) uses some of the reserved bits
 * if the first, G, is set: D (do not learn), A (policy was applied) and the 16-bit id of the source's group.
 *
 *     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *     |G|R|R|R|I|R|R|R|R|D|R|R|A|R|R|R|        Group Policy ID        |
 *     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *
 * `at` is the header's offset in the view; the caller has checked that VXLAN_LENGTH bytes are there.
 */

export const VXLAN_LENGTH = 8;
/** The I flag, in the first 32-bit word. */
export const VXLAN_VNI_VALID = 0x08000000;
/** The G flag, and the bits it gives a meaning: D, A and the group id. */
const GROUP_POLICY = 0x80000000 | 0;
const GROUP_POLICY_FIELDS = 0x0048ffff;

/** Writes a header with the I flag set and every reserved bit zero. */
export function writeVxlan(view: DataView, at: number, vni: number): void {
  view.setInt32(at, VXLAN_VNI_VALID);
  view.setInt32(at + 4, vni << 8);
}

/** Returns true when the I flag is set, without which the VNI has no meaning. */
export function hasVni(view: DataView, at: number): boolean {
  return (view.getInt32(at) & VXLAN_VNI_VALID) !== 0;
}

/** Returns the VNI, 24 bits. */
export function vniOf(view: DataView, at: number): number {
  return view.getInt32(at + 4) >>> 8;
}

/** Returns true when the header holds nothing but the VNI. */
export function isPlainVxlan(view: DataView, at: number): boolean {
  return view.getInt32(at) === VXLAN_VNI_VALID && (view.getInt32(at + 4) & 0xff) === 0;
}

/** Returns true when the G flag is set: the source has a group. */
export function hasGroupPolicy(view: DataView, at: number): boolean {
  return (view.getInt32(at) & GROUP_POLICY) !== 0;
}

/** Returns true when a bit is set that is reserved in a header of its kind. RFC 7348: ignored on receipt. */
export function hasReservedBits(view: DataView, at: number): boolean {
  const known = VXLAN_VNI_VALID | (hasGroupPolicy(view, at) ? GROUP_POLICY | GROUP_POLICY_FIELDS : 0);
  return (view.getInt32(at) & ~known) !== 0 || (view.getInt32(at + 4) & 0xff) !== 0;
}
