/** Sends UDP datagrams with a wrong checksum through a raw socket. Arguments: address, port, number of datagrams. */

import koffi from 'koffi';

const AF_INET = 2;
const SOCK_RAW = 3;
const IPPROTO_UDP = 17;
/** The kernel checks datagrams of up to 76 bytes before it knows the socket (include/linux/skbuff.h, CHECKSUM_BREAK). */
const LENGTH = 200;

const libc = koffi.load(null);
const socket = libc.func('int socket(int domain, int type, int protocol)');
const sendto = libc.func(
  'long sendto(int fd, void *buffer, size_t length, int flags, void *address, uint32_t addressLength)',
);

const [address = '', port = '', times = ''] = process.argv.slice(2);
const fd = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
const target = Buffer.alloc(16);
target.writeUInt16LE(AF_INET, 0);
Buffer.from(address.split('.').map(Number)).copy(target, 4);
const datagram = Buffer.alloc(LENGTH);
datagram.writeUInt16BE(50_000, 0);
datagram.writeUInt16BE(Number(port), 2);
datagram.writeUInt16BE(LENGTH, 4);
// The source address makes the right value differ from this one by far.
datagram.writeUInt16BE(0x1234, 6);
for (let i = 0; i < Number(times); i++) {
  const sent = sendto(fd, datagram, LENGTH, 0, target, target.length);
  if (sent !== LENGTH) throw new Error(`sendto: errno ${koffi.errno()}`);
}
