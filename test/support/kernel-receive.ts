/**
 * The kernel's checks of a UDP datagram over IPv4, independent of the programs: what a socket receives of a frame
 * (net/ipv4/ip_input.c, ip_rcv_core; net/ipv4/udp.c, __udp4_lib_rcv). Fragments are not joined.
 */

import { ipv4, viewOf } from './bytes.js';
import { slowSum } from './reference.js';

const ETHERNET = 14;
const UDP = 17;

export interface Delivered {
  payload: Uint8Array;
  source: number;
  tos: number;
}

/** Returns what the socket of this address and port receives; undefined if nothing. The UDP checksum is not verified. */
export function delivered(frame: Uint8Array, address: string, port: number): Delivered | undefined {
  const view = viewOf(frame);
  // The loopback interface, whose MAC is zero, receives it.
  if (frame.slice(0, 6).some((byte) => byte !== 0) || view.getUint16(12) !== 0x0800) return undefined;
  if (frame.length < ETHERNET + 20) return undefined;
  const headerLength = (frame[ETHERNET] & 15) * 4;
  if (frame[ETHERNET] >> 4 !== 4 || headerLength < 20) return undefined;
  if (frame.length < ETHERNET + headerLength) return undefined;
  if (slowSum(frame.slice(ETHERNET, ETHERNET + headerLength)) !== 0xffff) return undefined;
  const totalLength = view.getUint16(ETHERNET + 2);
  if (totalLength > frame.length - ETHERNET || totalLength < headerLength) return undefined;
  if ((view.getUint16(ETHERNET + 6) & 0x3fff) !== 0 || frame[ETHERNET + 9] !== UDP) return undefined;
  if (view.getInt32(ETHERNET + 16) !== ipv4(address)) return undefined;
  const datagram = frame.slice(ETHERNET + headerLength, ETHERNET + totalLength);
  if (datagram.length < 8) return undefined;
  const header = viewOf(datagram);
  const length = header.getUint16(4);
  if (length < 8 || length > datagram.length || header.getUint16(2) !== port) return undefined;
  return {
    payload: datagram.slice(8, length),
    source: view.getInt32(ETHERNET + 12),
    tos: frame[ETHERNET + 1],
  };
}

/** Returns whether the packet of an inner frame has a checksum over its payload. */
export function hasOwnChecksum(frame: Uint8Array): boolean {
  const v6 = viewOf(frame).getUint16(12) === 0x86dd;
  const protocol = frame[ETHERNET + (v6 ? 6 : 9)];
  const transport = ETHERNET + (v6 ? 40 : 20);
  if (protocol === UDP) return frame.length >= transport + 8 && viewOf(frame).getUint16(transport + 6) !== 0;
  return protocol === 6 || protocol === (v6 ? 58 : 1);
}
