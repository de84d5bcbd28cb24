/**
 * Builds and parses frames and datagrams byte by byte from the tables of the RFCs. It uses nothing of src/, to be a
 * second opinion.
 */

/** Returns the checksum of RFC 1071, added one word at a time. */
export function internetChecksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return ~sum & 0xffff;
}

function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

function addressBytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

/** Builds an Ethernet II frame. */
export function ethernet(to: string, from: string, type: number, payload: Buffer): Buffer {
  return Buffer.concat([macBytes(to), macBytes(from), Buffer.from([type >> 8, type & 0xff]), payload]);
}

/** Builds an IPv4 packet without options or DF, TTL 64. */
export function ipv4(from: string, to: string, protocol: number, payload: Buffer, tos = 0): Buffer {
  const header = Buffer.alloc(20);
  header[0] = 0x45;
  header[1] = tos;
  header.writeUInt16BE(20 + payload.length, 2);
  header[8] = 64;
  header[9] = protocol;
  addressBytes(from).copy(header, 12);
  addressBytes(to).copy(header, 16);
  header.writeUInt16BE(internetChecksum(header), 10);
  return Buffer.concat([header, payload]);
}

/** Builds an ICMP echo request (type 8) or reply (0). */
export function icmpEcho(type: 8 | 0, id: number, sequence: number, data: Buffer): Buffer {
  const message = Buffer.concat([Buffer.alloc(8), data]);
  message[0] = type;
  message.writeUInt16BE(id, 4);
  message.writeUInt16BE(sequence, 6);
  message.writeUInt16BE(internetChecksum(message), 2);
  return message;
}

export interface VxlanHeader {
  /** First byte; 0x08 is the I flag. */
  readonly flags?: number;
  /** The three reserved bytes after the flags, and the one after the VNI. */
  readonly reserved?: readonly [number, number, number, number];
  readonly vni?: number;
}

/** Builds a VXLAN datagram (RFC 7348, section 5): flags, three reserved bytes, VNI, a reserved byte, the frame. */
export function vxlan(
  frame: Buffer,
  { flags = 0x08, reserved = [0, 0, 0, 0], vni = 1 }: VxlanHeader = {},
): Buffer {
  const [first, second, third, last] = reserved;
  const header = Buffer.from([flags, first, second, third, vni >> 16, (vni >> 8) & 0xff, vni & 0xff, last]);
  return Buffer.concat([header, frame]);
}

/** An echo request or reply from a frame. */
export interface Echo {
  readonly to: string;
  readonly from: string;
  readonly sourceMac: string;
  readonly destinationMac: string;
  /** Type of service of the packet, ECN included. */
  readonly tos: number;
  readonly type: number;
  readonly id: number;
  readonly sequence: number;
  readonly data: Buffer;
}

function macText(bytes: Buffer): string {
  return bytes.toString('hex').replaceAll(/(..)(?!$)/g, '$1:');
}

/** Returns an IPv4 packet with changed header bytes, by their offset, and the correct checksum. */
export function withHeader(packet: Buffer, bytes: Readonly<Record<number, number>>): Buffer {
  const changed = Buffer.from(packet);
  for (const [offset, value] of Object.entries(bytes)) changed[Number(offset)] = value;
  changed.writeUInt16BE(0, 10);
  changed.writeUInt16BE(internetChecksum(changed.subarray(0, 20)), 10);
  return changed;
}

/** Returns the ICMP echo in an IPv4 packet, with zero MACs; undefined without one or with a wrong checksum. */
export function echoInPacket(packet: Buffer): Echo | undefined {
  return echoIn(ethernet('00:00:00:00:00:00', '00:00:00:00:00:00', 0x0800, packet));
}

/** Returns the ICMP echo in an Ethernet frame; undefined without one or with a wrong checksum. */
export function echoIn(frame: Buffer): Echo | undefined {
  if (frame.length < 14 + 20 + 8 || frame.readUInt16BE(12) !== 0x0800 || frame[14] !== 0x45) return undefined;
  const packet = frame.subarray(14, 14 + frame.readUInt16BE(16));
  const message = packet.subarray(20);
  if (packet[9] !== 1 || (message[0] !== 8 && message[0] !== 0)) return undefined;
  if (internetChecksum(packet.subarray(0, 20)) !== 0 || internetChecksum(message) !== 0) return undefined;
  return {
    destinationMac: macText(frame.subarray(0, 6)),
    sourceMac: macText(frame.subarray(6, 12)),
    from: packet.subarray(12, 16).join('.'),
    to: packet.subarray(16, 20).join('.'),
    tos: packet[1],
    type: message[0],
    id: message.readUInt16BE(4),
    sequence: message.readUInt16BE(6),
    data: Buffer.from(message.subarray(8)),
  };
}
