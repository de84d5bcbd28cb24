/** A packet socket (packet(7)) in the network namespace of the main thread: sends and receives frames of an interface. */

import { addressOf, bind, close, ppoll, read, setsockopt, socket, write } from '../../src/sys/ffi.js';

// linux/if_packet.h, linux/if_ether.h, poll.h
const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0x800;
const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;
const ETH_P_ALL = 3;
const POLLIN = 1;
/** Seconds after which a frame is taken to be lost. */
const TIMEOUT_S = 5n;
const LARGEST_FRAME = 70_000;

export class PacketSocket {
  private readonly fd: number;
  private readonly buffer = new Uint8Array(LARGEST_FRAME);

  /** `vnet`: frames that are sent have a virtio-net header, so they may be superpackets. */
  constructor(ifindex: number, vnet = false) {
    const protocol = ((ETH_P_ALL & 255) << 8) | (ETH_P_ALL >> 8);
    this.fd = checked('socket', socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, protocol));
    const address = new DataView(new ArrayBuffer(20));
    address.setUint16(0, AF_PACKET, true);
    address.setUint16(2, ETH_P_ALL);
    address.setInt32(4, ifindex, true);
    checked('bind', bind(this.fd, new Uint8Array(address.buffer)));
    if (vnet)
      checked('setsockopt', setsockopt(this.fd, SOL_PACKET, PACKET_VNET_HDR, Uint8Array.of(1, 0, 0, 0)));
  }

  /** Sends a frame; a superpacket only through a socket with `vnet`. */
  send(frame: Uint8Array): void {
    checked('write', write(this.fd, addressOf(frame), frame.length));
  }

  /** Waits for the next frame for which `accepts` returns true; others are ignored. */
  receive(accepts: (frame: Uint8Array) => boolean): Uint8Array {
    const poll = new DataView(new ArrayBuffer(8));
    poll.setInt32(0, this.fd, true);
    poll.setInt16(4, POLLIN, true);
    const timeout = new Uint8Array(new BigInt64Array([TIMEOUT_S, 0n]).buffer);
    for (;;) {
      const ready = ppoll(addressOf(new Uint8Array(poll.buffer)), 1, addressOf(timeout));
      if (ready === 0) throw new Error('the frame did not arrive');
      const length = read(this.fd, addressOf(this.buffer), this.buffer.length);
      if (length > 0 && accepts(this.buffer.subarray(0, length))) return this.buffer.slice(0, length);
    }
  }

  close(): void {
    close(this.fd);
  }
}

/** Returns a frame with the virtio-net header of a TCP superpacket over IPv4 without options, or of a plain frame. */
export function withVnetHeader(frame: Uint8Array, segmentSize = 0): Uint8Array {
  const bytes = new Uint8Array(10 + frame.length);
  bytes.set(frame, 10);
  if (segmentSize === 0) return bytes;
  const view = new DataView(bytes.buffer);
  const isIpv6 = frame[12] === 0x86;
  const transport = isIpv6 ? 54 : 34;
  const isTcp = frame[isIpv6 ? 20 : 23] === 6;
  const headers = transport + (isTcp ? (frame[transport + 12] >> 4) * 4 : 8);
  // VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, _TCPV6 or _UDP_L4
  view.setUint8(0, 1);
  view.setUint8(1, isTcp ? (isIpv6 ? 4 : 1) : 5);
  // header length, segment size, checksum start and offset
  view.setUint16(2, headers, true);
  view.setUint16(4, segmentSize, true);
  view.setUint16(6, transport, true);
  view.setUint16(8, isTcp ? 16 : 6, true);
  return bytes;
}

function checked(call: string, result: number): number {
  if (result < 0) throw new Error(`${call}: errno ${-result}`);
  return result;
}
