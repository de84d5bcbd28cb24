/**
 * Sends UDP datagrams with a forged outer source address from a packet socket, at a steady rate, until it is killed.
 *
 * Use: flooder.js IFINDEX DESTINATION_MAC SOURCE DESTINATION PORT PAYLOAD_BYTES RATE [PAYLOAD_HEX]
 *
 * It prints `flooding`, then every second how many datagrams it has sent in how many milliseconds. The structures are those of
 * linux/if_packet.h and linux/socket.h.
 */

import { MMSGHDR_SIZE, MSGHDR_IOV, MSGHDR_IOVLEN, SOCK_RAW } from '../../src/sys/constants.js';
import { errnoName } from '../../src/sys/errno.js';
import { addressOf, bind, sendmmsg, socket } from '../../src/sys/ffi.js';

const AF_PACKET = 17;
const ETHERTYPE_IPV4 = 0x0800;
const HEADERS = 14 + 20 + 8;
const BATCH = 64;
const STEP_MS = 1;
/** Batches between two looks at the clock. */
const MAX_BATCHES = 50;

function ipBytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

/** Returns the frame of a datagram, without an outer UDP checksum. */
function frameOf(mac: string, source: string, destination: string, port: number, payload: Buffer): Buffer {
  const frame = Buffer.concat([Buffer.alloc(HEADERS), payload]);
  Buffer.from(mac.replaceAll(':', ''), 'hex').copy(frame, 0);
  Buffer.from('0a0000000066', 'hex').copy(frame, 6);
  frame.writeUInt16BE(ETHERTYPE_IPV4, 12);
  const ip = frame.subarray(14);
  ip.writeUInt16BE(0x4500, 0);
  ip.writeUInt16BE(frame.length - 14, 2);
  ip.writeUInt8(64, 8);
  ip.writeUInt8(17, 9);
  ipBytes(source).copy(ip, 12);
  ipBytes(destination).copy(ip, 16);
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += ip.readUInt16BE(at);
  sum = (sum & 0xffff) + (sum >>> 16);
  ip.writeUInt16BE(~(sum + (sum >>> 16)) & 0xffff, 10);
  ip.writeUInt16BE(50_000, 20);
  ip.writeUInt16BE(port, 22);
  ip.writeUInt16BE(8 + payload.length, 24);
  return frame;
}

const [ifindex, mac = '', source = '', destination = '', port, size, rate, hex = ''] = process.argv.slice(2);
const payload = Buffer.alloc(Number(size));
Buffer.from(hex, 'hex').copy(payload);
const frame = frameOf(mac, source, destination, Number(port), payload);
const iovec = new BigUint64Array([addressOf(frame), BigInt(frame.length)]);
const messages = Buffer.alloc(BATCH * MMSGHDR_SIZE);
for (let i = 0; i < BATCH; i++) {
  messages.writeBigUInt64LE(addressOf(new Uint8Array(iovec.buffer)), i * MMSGHDR_SIZE + MSGHDR_IOV);
  messages.writeBigUInt64LE(1n, i * MMSGHDR_SIZE + MSGHDR_IOVLEN);
}
const fd = socket(AF_PACKET, SOCK_RAW, 0);
const address = Buffer.alloc(20);
address.writeUInt16LE(AF_PACKET, 0);
address.writeUInt16BE(ETHERTYPE_IPV4, 2);
address.writeInt32LE(Number(ifindex), 4);
const bound = fd < 0 ? fd : bind(fd, address);
if (bound < 0) throw new Error(`packet socket: ${errnoName(-bound)}`);

// The kernel reads all of it by address, so the timer must keep it alive.
const memory = { messages, iovec, frame };
const startedAt = performance.now();
let sent = 0;
let reportAt = 1000;
console.log('flooding');
setInterval(() => {
  const elapsed = performance.now() - startedAt;
  const due = Math.floor((elapsed * Number(rate)) / 1000);
  for (let batch = 0; batch < MAX_BATCHES && sent < due; batch++) {
    const count = sendmmsg(fd, addressOf(memory.messages), Math.min(BATCH, due - sent), 0);
    // A full queue: the datagrams count as sent.
    sent += count > 0 ? count : BATCH;
  }
  if (elapsed < reportAt) return;
  reportAt = elapsed + 1000;
  console.log(`${sent} sent in ${elapsed.toFixed(0)} ms`);
}, STEP_MS);
