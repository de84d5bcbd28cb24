/**
 * TCP header, RFC 9293 section 3.1:
 *
 *     0: source port | 2: destination port | 4: sequence number | 8: acknowledgment number
 *     12: data offset 4 | 13: flags | 14: window | 16: checksum | 18: urgent pointer | 20: options
 *
 * `at` is the header's offset; the caller has checked that TCP_MIN_LENGTH bytes are there.
 */

export const IPPROTO_TCP = 6;
export const TCP_MIN_LENGTH = 20;
export const TCP_ACKNOWLEDGMENT = 8;
/** Data offset; flags and window follow. */
export const TCP_DATA_OFFSET = 12;
export const TCP_CHECKSUM = 16;
export const TCP_URGENT = 18;

export const TCP_FIN = 0x01;
export const TCP_PSH = 0x08;
export const TCP_ACK = 0x10;
export const TCP_ECE = 0x40;
export const TCP_CWR = 0x80;

/** Returns the bytes of the header with its options. */
export function tcpHeaderLength(view: DataView, at: number): number {
  return (view.getUint8(at + TCP_DATA_OFFSET) >> 4) * 4;
}

export function tcpSequence(view: DataView, at: number): number {
  return view.getInt32(at + 4);
}

/** Sets the sequence number, modulo 2^32. */
export function setTcpSequence(view: DataView, at: number, sequence: number): void {
  view.setInt32(at + 4, sequence);
}

export function tcpFlags(view: DataView, at: number): number {
  return view.getUint8(at + 13);
}

export function setTcpFlags(view: DataView, at: number, flags: number): void {
  view.setUint8(at + 13, flags);
}
