import t from 'tap';
import {
  datagramHeaders,
  ethernetHeader,
  withTtlRestored,
} from '../../../../src/dataplane/capture/datagram.js';

t.test(
  'the headers of an IPv4 datagram have addresses, ports, TOS, lengths and a header checksum',
  async (t) => {
    const from = { address: Uint8Array.of(192, 168, 77, 1), port: 0x1234 };
    const to = { address: Uint8Array.of(192, 168, 77, 2), port: 8472 };
    t.equal(
      datagramHeaders(from, to, 0xb9, Buffer.alloc(60), 100).toString('hex'),
      '45b900800000000040115e60' + 'c0a84d01' + 'c0a84d02' + '1234' + '2118' + '006c' + '0000',
    );
  },
);

t.test('the Ethernet header of a packet that has none shows its type', async (t) => {
  t.equal(ethernetHeader(false).toString('hex'), '000000000000000000000000' + '0800');
  t.equal(ethernetHeader(true).toString('hex'), '000000000000000000000000' + '86dd');
});

t.test('the headers of an IPv6 datagram have a checksum, and the traffic class in two halves', async (t) => {
  const end = (last: number, port: number) => {
    const address = new Uint8Array(16);
    address.set([0xfd, 0]);
    address[15] = last;
    return { address, port };
  };
  const headers = datagramHeaders(end(1, 1), end(2, 2), 0xb9, Buffer.from('01020304', 'hex'));
  t.equal(headers.length, 48);
  t.equal(headers.subarray(0, 8).toString('hex'), '6b900000000c1140');
  // fd00 + 1 + fd00 + 2 + 000c + 0011 + 0001 + 0002 + 000c + 0102 + 0304, and its complement.
  t.equal(headers.subarray(40).toString('hex'), '00010002000c' + '01c9');
  const cut = datagramHeaders(end(1, 1), end(2, 2), 0, Buffer.from('0102', 'hex'), 4);
  t.equal(cut.subarray(40).toString('hex'), '00010002000cffff', 'unknown without all of the payload');
});

t.test('a TTL that the tunnel has lowered is restored, with a right checksum', async (t) => {
  const before = Buffer.from('45000014000000003f01' + '0000' + '0a0000010a000002', 'hex');
  const restored = Buffer.from(withTtlRestored(before));
  t.equal(restored[8], 0x40);
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += restored.readUInt16BE(i);
  t.equal((sum & 0xffff) + (sum >> 16), 0xffff);
  t.strictSame(Buffer.from(withTtlRestored(Uint8Array.of(0x45))), Buffer.of(0x45), 'a cut header stays');
});
