/** The two forms of a capture: pcapng, and lines of text. */

import { release } from 'node:os';
import { version } from '../../version.js';
import { COUNTER_NAMES } from '../counters.js';
import { datagramHeaders, type Endpoint, ethernetHeader, withTtlRestored } from './datagram.js';
import { NOT_DROPPED } from './layout.js';
import { enhancedPacket, interfaceDescription, interfaceStatistics, sectionHeader } from './pcapng.js';
import type { CapturedPacket } from './ring-reader.js';
import { describeFrame, type Payload } from './summary.js';

/** An interface of a capture: one view of one dataplane. */
export interface CaptureInterface {
  /** Its number in the capture. */
  number: number;
  name: string;
  description: string;
  isOuter: boolean;
  /** Whether packets of the device have an Ethernet header. The capture adds one to all others. */
  hasEthernet: boolean;
  payload: Payload;
  snaplen: number;
  /** This node's end of every datagram, and the ports of the transmit sockets. A rebind of the sockets changes them. */
  own: Endpoint;
  ports: readonly number[];
  /** UDP port of every peer. */
  port: number;
}

export interface CaptureFormat {
  /** Returns what the capture begins with. */
  begin(interfaces: readonly CaptureInterface[]): Buffer;
  packet(from: CaptureInterface, packet: CapturedPacket): Buffer;
  /** Returns the figures of an interface at the end. */
  statistics(from: CaptureInterface, time: number, received: number, missed: number): Buffer;
}

const NO_HEADERS = Buffer.alloc(0);

/** Returns the bytes of a packet in pieces, and their number before they were cut. */
function contentOf(
  from: CaptureInterface,
  packet: CapturedPacket,
): { pieces: Uint8Array[]; original: number } {
  const bytes = packet.ttlLowered ? withTtlRestored(packet.bytes) : packet.bytes;
  const headers = headersOf(from, packet, bytes);
  const room = Math.max(0, from.snaplen - headers.length);
  return {
    pieces: [headers.subarray(0, from.snaplen), bytes.subarray(0, room)],
    original: headers.length + packet.original,
  };
}

/** Returns the headers in front of the recorded bytes: tcpdump reads only one link type per capture. */
function headersOf(from: CaptureInterface, packet: CapturedPacket, bytes: Uint8Array): Buffer {
  if (!from.isOuter) return from.hasEthernet ? NO_HEADERS : ethernetHeader((bytes[0] ?? 0) >> 4 === 6);
  const addressLength = from.own.address.length;
  const peer = {
    address: packet.peer.subarray(0, addressLength),
    port: packet.isInbound ? packet.port : from.port,
  };
  // A tunnel without transmit sockets sends from the port that it receives on.
  const ownPort = packet.isInbound ? from.own.port : (from.ports[packet.port] ?? from.own.port);
  const own = { address: from.own.address, port: ownPort };
  const [source, destination] = packet.isInbound ? [peer, own] : [own, peer];
  return Buffer.concat([
    ethernetHeader(addressLength === 16),
    datagramHeaders(source, destination, packet.tos, bytes, packet.original),
  ]);
}

/** Returns `dropped: rx_drop_runt`; undefined for a packet that passed. */
function dropText({ reason }: CapturedPacket): string | undefined {
  return reason === NOT_DROPPED ? undefined : `dropped: ${COUNTER_NAMES[reason]}`;
}

export const PCAPNG: CaptureFormat = {
  begin(interfaces) {
    const system = `Linux ${release()}`;
    return Buffer.concat([
      sectionHeader(`weft ${version()}`, system),
      ...interfaces.map(({ name, description, snaplen }) =>
        interfaceDescription({ name, description, system, snaplen }),
      ),
    ]);
  },

  packet(from, packet) {
    const { pieces, original } = contentOf(from, packet);
    return enhancedPacket({
      interface: from.number,
      time: Math.floor(packet.time * 1000),
      pieces,
      original,
      isInbound: packet.isInbound,
      comment: dropText(packet),
    });
  },

  statistics: (from, time, received, missed) =>
    interfaceStatistics(from.number, Math.floor(time * 1000), received, missed),
};

export const TEXT: CaptureFormat = {
  begin: () => Buffer.alloc(0),

  packet(from, packet) {
    const { pieces, original } = contentOf(from, packet);
    const { isOuter, payload, name } = from;
    const what = describeFrame(Buffer.concat(pieces), isOuter ? payload : undefined);
    const dropped = dropText(packet);
    const columns = [
      timeText(packet.time),
      name.padEnd(6),
      packet.isInbound ? 'in ' : 'out',
      `${what}, ${original} bytes${dropped === undefined ? '' : `  ${dropped}`}`,
    ];
    return Buffer.from(`${columns.join(' ')}\n`);
  },

  statistics: () => Buffer.alloc(0),
};

/** Returns the local time of day, in microseconds. */
function timeText(time: number): string {
  const date = new Date(time);
  const two = (value: number): string => String(value).padStart(2, '0');
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  return `${clock}.${String(Math.floor((time % 1000) * 1000)).padStart(6, '0')}`;
}
