/**
 * Ethernet II header, IEEE 802.3: destination @0 (6), source @6 (6), type @12 (2). `at` is the header's offset; the
 * caller has checked that ETHERNET_LENGTH bytes are there.
 *
 * An address is two integers, its first two and its last four bytes, which needs no BigInt and no allocation.
 */

export const ETHERNET_LENGTH = 14;
export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_IPV6 = 0x86dd;
/** IEEE 802.1Q: the tag is this type and two bytes of priority and VLAN id; the type of the payload follows. */
export const ETHERTYPE_VLAN = 0x8100;
export const VLAN_TAG_LENGTH = 4;

/** Returns the first two bytes of the destination address. */
export function destinationHigh(view: DataView, at: number): number {
  return view.getUint16(at);
}

/** Returns the last four bytes of the destination address, as a signed number. */
export function destinationLow(view: DataView, at: number): number {
  return view.getInt32(at + 2);
}

/** Returns the first two bytes of the source address. */
export function sourceHigh(view: DataView, at: number): number {
  return view.getUint16(at + 6);
}

/** Returns the last four bytes of the source address, as a signed number. */
export function sourceLow(view: DataView, at: number): number {
  return view.getInt32(at + 8);
}

export function etherType(view: DataView, at: number): number {
  return view.getUint16(at + 12);
}

/** Returns true for a multicast or broadcast address: the I/G bit of its first byte is set. */
export function isMulticast(high: number): boolean {
  return (high & 0x0100) !== 0;
}

/** Returns the text of the address at offset `at`: `02:00:00:00:00:01`. It allocates, and is no part of forwarding. */
export function formatMac(bytes: Uint8Array, at: number): string {
  return Array.from(bytes.subarray(at, at + 6), (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
