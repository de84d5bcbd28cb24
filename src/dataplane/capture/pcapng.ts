/**
 * pcapng blocks (draft-ietf-opsawg-pcapng), little-endian. Each function returns one complete block:
 *
 *     type | length | body, padded to 4 bytes | options | length
 */

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const INTERFACE_STATISTICS = 5;
const ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

/** The link type of every interface (tcpdump.org/linktypes): libpcap refuses a file with two. */
const LINK_ETHERNET = 1;

/** Option codes. */
const COMMENT = 1;
const SHB_OS = 3;
const SHB_APPLICATION = 4;
const IF_NAME = 2;
const IF_DESCRIPTION = 3;
const IF_TIME_RESOLUTION = 9;
const IF_OS = 12;
const EPB_FLAGS = 2;
const ISB_RECEIVED = 4;
const ISB_DROPPED = 5;

/** Time stamps count microseconds. */
const MICROSECONDS = 6;
const INBOUND = 1;
const OUTBOUND = 2;

type Option = readonly [code: number, value: Uint8Array];

/** Returns the block that a capture begins with. */
export function sectionHeader(application: string, system: string): Buffer {
  const body = Buffer.alloc(16);
  body.writeUInt32LE(BYTE_ORDER_MAGIC, 0);
  // Version 1.0; the length of the section is unknown.
  body.writeUInt16LE(1, 4);
  body.fill(0xff, 8);
  return block(SECTION_HEADER, [body], [text(SHB_OS, system), text(SHB_APPLICATION, application)]);
}

export interface InterfaceBlock {
  name: string;
  description: string;
  system: string;
  snaplen: number;
}

/** Returns the block of an interface. Its number is that of the interface blocks before it. */
export function interfaceDescription({ name, description, system, snaplen }: InterfaceBlock): Buffer {
  const body = Buffer.alloc(8);
  body.writeUInt16LE(LINK_ETHERNET, 0);
  body.writeUInt32LE(snaplen, 4);
  return block(
    INTERFACE_DESCRIPTION,
    [body],
    [
      text(IF_NAME, name),
      text(IF_DESCRIPTION, description),
      [IF_TIME_RESOLUTION, Uint8Array.of(MICROSECONDS)],
      text(IF_OS, system),
    ],
  );
}

export interface PacketBlock {
  interface: number;
  /** Microseconds since 1970. */
  time: number;
  /** The captured bytes, in pieces. */
  pieces: readonly Uint8Array[];
  /** Bytes of the packet. */
  original: number;
  isInbound: boolean;
  comment?: string | undefined;
}

/** Returns the block of a packet. */
export function enhancedPacket(packet: PacketBlock): Buffer {
  const { pieces, time, original, isInbound, comment } = packet;
  const body = Buffer.alloc(20);
  body.writeUInt32LE(packet.interface, 0);
  writeTime(body, 4, time);
  body.writeUInt32LE(
    pieces.reduce((sum, { length }) => sum + length, 0),
    12,
  );
  body.writeUInt32LE(original, 16);
  const flags = Buffer.alloc(4);
  flags.writeUInt32LE(isInbound ? INBOUND : OUTBOUND);
  const options: Option[] = [[EPB_FLAGS, flags]];
  if (comment !== undefined) options.push(text(COMMENT, comment));
  return block(ENHANCED_PACKET, [body, ...pieces], options);
}

/** Returns the block that says at `time` how many packets an interface has seen, and how many of them are missing. */
export function interfaceStatistics(number: number, time: number, received: number, missed: number): Buffer {
  const body = Buffer.alloc(12);
  body.writeUInt32LE(number, 0);
  writeTime(body, 4, time);
  return block(INTERFACE_STATISTICS, [body], [count(ISB_RECEIVED, received), count(ISB_DROPPED, missed)]);
}

/** The high half comes first. */
function writeTime(body: Buffer, at: number, time: number): void {
  body.writeUInt32LE(Math.floor(time / 2 ** 32), at);
  body.writeUInt32LE(time % 2 ** 32, at + 4);
}

function text(code: number, value: string): Option {
  return [code, Buffer.from(value)];
}

function count(code: number, value: number): Option {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return [code, bytes];
}

function padded(length: number): number {
  return (length + 3) & ~3;
}

function block(type: number, body: readonly Uint8Array[], options: readonly Option[]): Buffer {
  const bodyLength = padded(body.reduce((sum, { length }) => sum + length, 0));
  const optionsLength = options.reduce((sum, [, value]) => sum + 4 + padded(value.length), 4);
  const length = 12 + bodyLength + optionsLength;
  const bytes = Buffer.alloc(length);
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(length, 4);
  let at = 8;
  for (const piece of body) {
    bytes.set(piece, at);
    at += piece.length;
  }
  at = 8 + bodyLength;
  for (const [code, value] of options) {
    bytes.writeUInt16LE(code, at);
    bytes.writeUInt16LE(value.length, at + 2);
    bytes.set(value, at + 4);
    at += 4 + padded(value.length);
  }
  // After the end of the options, which is all zero.
  bytes.writeUInt32LE(length, at + 4);
  return bytes;
}
