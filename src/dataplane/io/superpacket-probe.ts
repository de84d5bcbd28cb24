/**
 * A question to a device: does the kernel accept superpackets from it?
 *
 * A new device is down, so nothing is delivered. Since 5.1 the tun driver checks a superpacket first and the state of the
 * device afterwards (drivers/net/tun.c, tun_get_user). It answers EIO to a superpacket that it would accept. Before 5.1
 * the answer to every write is EIO, and a refusal shows at run time only. A device that is up receives the packet, which
 * is from 0.0.0.0 to 0.0.0.0, and drops it.
 */

import { IOVEC_SIZE } from '../../sys/constants.js';
import { EIO } from '../../sys/errno.js';
import { addressOf, writev } from '../../sys/ffi.js';
import { ETHERNET_LENGTH } from '../wire/ethernet.js';
import { IPPROTO_TCP } from '../wire/tcp.js';
import { IPPROTO_UDP } from '../wire/udp.js';
import { VNET_GSO_TCPV4, VNET_GSO_UDP_L4, VNET_LENGTH, writeVnetGso } from '../wire/virtio-net.js';

const IPV4_LENGTH = 20;
/** Bytes of payload per segment. The whole packet has twice as many: some kernels refuse a short rest. */
const SEGMENT = 1000;

/** The fields of a superpacket that depend on its protocol: type for virtio-net, header length, checksum field. */
const SHAPES = {
  tcp: { protocol: IPPROTO_TCP, type: VNET_GSO_TCPV4, headerLength: 20, checksum: 16 },
  udp: { protocol: IPPROTO_UDP, type: VNET_GSO_UDP_L4, headerLength: 8, checksum: 6 },
};

/**
 * Returns 0 if a queue accepts superpackets of `protocol`, otherwise the errno of the refusal.
 * `linkLength`: bytes of link header in front of every packet.
 */
export function probeSuperpackets(fd: number, linkLength: number, protocol: 'tcp' | 'udp'): number {
  const { type, headerLength, checksum, ...shape } = SHAPES[protocol];
  const header = new Uint8Array(VNET_LENGTH);
  const frame = new Uint8Array(2 * SEGMENT);
  const transport = linkLength + IPV4_LENGTH;
  writeVnetGso(new DataView(header.buffer), 0, type, transport + headerLength, SEGMENT, transport, checksum);
  const view = new DataView(frame.buffer);
  if (linkLength === ETHERNET_LENGTH) view.setUint16(12, 0x0800);
  const length = frame.length - linkLength;
  view.setUint16(linkLength, 0x4500);
  view.setUint16(linkLength + 2, length);
  view.setUint16(linkLength + 8, (64 << 8) | shape.protocol);
  if (protocol === 'tcp') view.setUint16(transport + 12, 0x5010);
  else view.setUint16(transport + 4, length - IPV4_LENGTH);
  const iovecs = new BigUint64Array((2 * IOVEC_SIZE) / 8);
  iovecs.set([addressOf(header), BigInt(header.length), addressOf(frame), BigInt(frame.length)]);
  const result = writev(fd, addressOf(new Uint8Array(iovecs.buffer)), 2);
  return result >= 0 || result === -EIO ? 0 : -result;
}
