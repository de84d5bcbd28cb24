/** Builds inner frames with correct checksums. */

import { concat, hex, pattern, viewOf } from './bytes.js';
import { withChecksums } from './reference.js';
import { ACK } from './tcp-flags.js';

export const MAC_A = '02:00:00:00:00:0a';
export const MAC_B = '02:00:00:00:00:0b';
export const MAC_C = '02:00:00:00:00:0c';
export const BROADCAST = 'ff:ff:ff:ff:ff:ff';

export interface FrameOptions {
  destination?: string;
  source?: string;
  ipv6?: boolean;
  /** IPv4 options or TCP options: bytes, a multiple of 4. */
  ipOptions?: Uint8Array;
  tcpOptions?: Uint8Array;
  identification?: number;
  sequence?: number;
  flags?: number;
  payload?: Uint8Array;
  /** A last change before the checksums are computed. */
  mutate?: (frame: Uint8Array) => void;
}

/** Returns a frame with an Ethernet header and an unknown payload. */
export function rawFrame(destination: string, source: string, body = hex('0123456789abcdef')): Uint8Array {
  return concat(ethernet(destination, source, 0x88b5), body);
}

export function tcpFrame(options: FrameOptions = {}): Uint8Array {
  const tcpOptions = options.tcpOptions ?? new Uint8Array(0);
  const header = hex('9c40 01bb 00000000 5a5a5a5a 50 10 01f6 0000 0000');
  const view = viewOf(header);
  view.setUint32(4, options.sequence ?? 1_000_000);
  view.setUint8(12, (5 + tcpOptions.length / 4) << 4);
  view.setUint8(13, options.flags ?? ACK);
  return frame(6, concat(header, tcpOptions, options.payload ?? pattern(100)), options);
}

export function udpFrame(options: FrameOptions = {}): Uint8Array {
  const payload = options.payload ?? pattern(100);
  const header = hex('9c40 0035 0000 0000');
  viewOf(header).setUint16(4, 8 + payload.length);
  return frame(17, concat(header, payload), options);
}

/** Returns the IP packet in a frame, which is what a TUN device carries. */
export function packetOf(frame: Uint8Array): Uint8Array {
  return frame.slice(14);
}

/** Returns a copy of a frame with an 802.1Q tag. */
export function tagged(untagged: Uint8Array, tag = 0x2064): Uint8Array {
  return concat(untagged.slice(0, 12), Uint8Array.of(0x81, 0x00, tag >> 8, tag & 255), untagged.slice(12));
}

/** Returns a copy of an IPv6 frame with a hop-by-hop header of 8 * (`units` + 1) bytes of padding. */
export function withHopByHop(plain: Uint8Array, units: number): Uint8Array {
  const header = new Uint8Array(8 * (units + 1));
  header[0] = plain[14 + 6];
  header[1] = units;
  const copy = concat(plain.slice(0, 54), header, plain.slice(54));
  copy[14 + 6] = 0;
  const view = viewOf(copy);
  view.setUint16(14 + 4, view.getUint16(14 + 4) + header.length);
  return copy;
}

function frame(protocol: number, transport: Uint8Array, options: FrameOptions): Uint8Array {
  const ip =
    options.ipv6 === true ? ipv6(protocol, transport.length) : ipv4(protocol, transport.length, options);
  const etherType = options.ipv6 === true ? 0x86dd : 0x0800;
  const whole = concat(
    ethernet(options.destination ?? MAC_B, options.source ?? MAC_A, etherType),
    ip,
    transport,
  );
  options.mutate?.(whole);
  return withChecksums(whole);
}

function ethernet(destination: string, source: string, etherType: number): Uint8Array {
  return concat(
    hex(destination.replaceAll(':', '')),
    hex(source.replaceAll(':', '')),
    Uint8Array.of(etherType >> 8, etherType & 255),
  );
}

/** 10.244.1.2 to 10.244.2.3. */
function ipv4(protocol: number, length: number, options: FrameOptions): Uint8Array {
  const ipOptions = options.ipOptions ?? new Uint8Array(0);
  const header = hex('45 00 0000 0000 4000 40 00 0000 0af40102 0af40203');
  const view = viewOf(header);
  view.setUint8(0, 0x40 | (5 + ipOptions.length / 4));
  view.setUint16(2, 20 + ipOptions.length + length);
  view.setUint16(4, options.identification ?? 4711);
  view.setUint8(9, protocol);
  return concat(header, ipOptions);
}

/** 2001:db8::1 to 2001:db8::2. */
function ipv6(protocol: number, length: number): Uint8Array {
  const header = hex('60012345 0000 00 40 20010db8000000000000000000000001 20010db8000000000000000000000002');
  const view = viewOf(header);
  view.setUint16(4, length);
  view.setUint8(6, protocol);
  return header;
}
