/**
 * virtio-net header, linux/virtio_net.h (struct virtio_net_hdr), as the tun driver uses it with IFF_VNET_HDR (2.6.27):
 * 10 bytes in front of every frame, little-endian on the machines Weft runs on.
 *
 *     0: flags | 1: GSO type | 2: header length | 4: GSO size | 6: checksum start | 8: checksum offset
 *
 * Offsets count from the frame's first byte. `at` is the header's offset in the view.
 */

export const VNET_LENGTH = 10;

export const VNET_NEEDS_CSUM = 1;

export const VNET_GSO_NONE = 0;
export const VNET_GSO_TCPV4 = 1;
export const VNET_GSO_TCPV6 = 4;
/** VIRTIO_NET_HDR_GSO_UDP_L4, 6.2. */
export const VNET_GSO_UDP_L4 = 5;

export function vnetFlags(view: DataView, at: number): number {
  return view.getUint8(at);
}

export function vnetGsoType(view: DataView, at: number): number {
  return view.getUint8(at + 1);
}

/** Returns the bytes of layer-4 payload per segment. */
export function vnetGsoSize(view: DataView, at: number): number {
  return view.getUint16(at + 4, true);
}

export function vnetChecksumStart(view: DataView, at: number): number {
  return view.getUint16(at + 6, true);
}

export function vnetChecksumOffset(view: DataView, at: number): number {
  return view.getUint16(at + 8, true);
}

/** Writes the header of a plain frame, whose checksum the kernel verifies. */
export function writeVnetPlain(view: DataView, at: number): void {
  view.setInt32(at, 0);
  view.setInt32(at + 4, 0);
  view.setInt16(at + 8, 0);
}

/** Writes a header that leaves the checksum at `start + offset`, over everything from `start` on, to the kernel. */
export function writeVnetChecksum(view: DataView, at: number, start: number, offset: number): void {
  writeVnetGso(view, at, VNET_GSO_NONE, 0, 0, start, offset);
}

/** Does the same for a superpacket with `headers` bytes before the payload. */
export function writeVnetGso(
  view: DataView,
  at: number,
  type: number,
  headers: number,
  size: number,
  start: number,
  offset: number,
): void {
  view.setUint8(at, VNET_NEEDS_CSUM);
  view.setUint8(at + 1, type);
  view.setUint16(at + 2, headers, true);
  view.setUint16(at + 4, size, true);
  view.setUint16(at + 6, start, true);
  view.setUint16(at + 8, offset, true);
}
