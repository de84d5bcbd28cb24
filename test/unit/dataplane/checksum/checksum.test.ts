import t from 'tap';
import { Checksum } from '../../../../src/dataplane/checksum/checksum.js';
import { Arena } from '../../../../src/dataplane/memory/arena.js';
import { concat, hex, pattern, toHex } from '../../../support/bytes.js';
import { fixture, tcpdumpPackets } from '../../../support/fixtures.js';
import { tcpFrame } from '../../../support/frames.js';
import { ipv4HeaderChecksum, slowChecksum } from '../../../support/reference.js';

const arena = new Arena(2 * 65536 + 4096);
const checksum = new Checksum(arena);

/** The checksum of `bytes` at arena offset `at`, with bytes around it that must not count. */
function fast(bytes: Uint8Array, at: number): number {
  arena.bytes.fill(0xa5, Math.max(0, at - 64), at + bytes.length + 64);
  arena.bytes.set(bytes, at);
  return Checksum.field(checksum.sum(at, bytes.length));
}

t.test('sum is right for the example of RFC 1071 section 3', async (t) => {
  const bytes = hex('0001 f203 f4f5 f6f7');
  t.equal(fast(bytes, 0), 0xffff - 0xddf2);
});

t.test('sum is right for every length up to four vectors at every alignment', async (t) => {
  const bytes = pattern(260);
  for (let length = 0; length <= 260; length++) {
    const part = bytes.slice(0, length);
    const expected = slowChecksum(part);
    for (let at = 64; at < 128; at += length % 16 === 0 ? 1 : 7) {
      if (fast(part, at) !== expected) t.fail(`length ${length} at ${at}`);
    }
  }
  t.pass('all equal to the slow reference');
});

t.test('sum is right for lengths from 0 to 65535', async (t) => {
  const bytes = pattern(65535, 7);
  for (const length of [0, 1, 2, 3, 63, 64, 65, 1399, 1400, 1500, 9000, 32767, 32768, 65533, 65534, 65535]) {
    for (const at of [128, 129, 131]) {
      t.equal(fast(bytes.slice(0, length), at), slowChecksum(bytes.slice(0, length)), `${length} at ${at}`);
    }
  }
});

t.test('sum does not overflow for the most of the largest words', async (t) => {
  for (const length of [65534, 65535]) {
    const ones = new Uint8Array(length).fill(0xff);
    t.equal(fast(ones, 64), slowChecksum(ones));
  }
});

t.test('sum pads an odd last byte with zero', async (t) => {
  t.equal(fast(hex('0102 03'), 64), fast(hex('0102 0300'), 64));
});

t.test('sum is 0 for no bytes and for zeros', async (t) => {
  t.equal(fast(new Uint8Array(0), 64), 0xffff);
  t.equal(fast(new Uint8Array(100), 64), 0xffff);
});

t.test('field folds the carries, complements, and returns network order', async (t) => {
  t.equal(Checksum.field(0), 0xffff);
  t.equal(Checksum.field(0xffff), 0);
  t.equal(Checksum.field(0x0100), 0xfffe);
  t.equal(Checksum.field(0x0001), 0xfeff);
  t.equal(Checksum.field(0x10000), 0xfeff, 'the carry comes round');
  t.equal(Checksum.field(0xffff0001), 0xfeff, 'and carries again');
  t.equal(Checksum.field(0xffffffff), 0);
});

t.test('pseudoHeaderField is field without the complement', async (t) => {
  for (const sum of [0, 1, 0x1234, 0xffff, 0x10000, 0xffff0001, 0xffffffff]) {
    t.equal(Checksum.pseudoHeaderField(sum), 0xffff - Checksum.field(sum), sum.toString(16));
  }
});

t.test('sums of even parts may be added', async (t) => {
  const bytes = pattern(300, 3);
  arena.bytes.set(bytes, 0);
  const sum = checksum.sum(0, 40) + checksum.sum(40, 100) + checksum.sum(140, 159);
  t.equal(Checksum.field(sum), slowChecksum(bytes.slice(0, 299)));
});

t.test('pseudoHeader and sum give the checksum of captured flannel packets', async (t) => {
  for (const [index, datagram] of tcpdumpPackets(fixture('flannel-vxlan-capture.txt')).entries()) {
    // 20 B of LINUX_SLL2, then IPv4 and UDP; inside, 8 B of VXLAN, Ethernet, IPv4 and TCP.
    arena.bytes.set(datagram, 3);
    const outer = 3 + 20;
    const udp = outer + 20;
    const udpSum = checksum.pseudoHeader(outer + 12, 8, 17, datagram.length - 40);
    t.equal(
      arena.view.getUint16(udp + 6),
      Checksum.field(udpSum + withoutField(udp, 6, datagram.length - 40)),
    );
    const inner = udp + 8 + 8 + 14;
    const tcp = inner + 20;
    const length = datagram.length - (tcp - 3);
    const tcpSum = checksum.pseudoHeader(inner + 12, 8, 6, length);
    t.equal(
      arena.view.getUint16(tcp + 16),
      Checksum.field(tcpSum + withoutField(tcp, 16, length)),
      `packet ${index + 1}`,
    );
  }
});

/** The partial sum of `length` bytes at `at` but for the 16-bit field at `field`. */
function withoutField(at: number, field: number, length: number): number {
  return checksum.sum(at, field) + checksum.sum(at + field + 2, length - field - 2);
}

t.test('pseudoHeader follows RFC 8200 section 8.1 for IPv6', async (t) => {
  // Computed apart from this code, by hand and by another program.
  const addresses = hex('20010db8000000000000000000000001 20010db8000000000000000000000002');
  const datagram = hex('3039 0035 000d 0000 7765667421');
  arena.bytes.set(concat(addresses, datagram), 0);
  const pseudoHeader = checksum.pseudoHeader(0, 32, 17, 13);
  t.equal(Checksum.pseudoHeaderField(pseudoHeader), 0x5b93);
  t.equal(Checksum.field(pseudoHeader + checksum.sum(32, 13)), 0x7517);
});

t.test('pseudoHeader adds lengths above 255 in network order', async (t) => {
  arena.bytes.set(hex('0a000001 0a000002'), 0);
  // 0a00 + 0001 + 0a00 + 0002 + 0006 + ffff
  t.equal(Checksum.pseudoHeaderField(checksum.pseudoHeader(0, 8, 6, 0xffff)), 0x1409);
  t.equal(Checksum.pseudoHeaderField(checksum.pseudoHeader(0, 8, 6, 0x1234)), 0x1409 + 0x1234);
});

t.test(
  'writeIpv4Header writes the header checksum, with options and any previous value of the field',
  async (t) => {
    for (const options of ['', '01010100', '8604000000000101']) {
      const frame = tcpFrame({ ipOptions: hex(options) });
      arena.bytes.set(frame, 100);
      arena.view.setUint16(100 + 14 + 10, 0xdead);
      checksum.writeIpv4Header(100 + 14);
      t.equal(arena.view.getUint16(100 + 14 + 10), ipv4HeaderChecksum(frame));
      t.equal(toHex(arena.bytes.slice(100, 100 + frame.length)), toHex(frame), 'nothing else was written');
    }
  },
);

t.test('sum reads the arena of its Checksum', async (t) => {
  const other = new Arena(65536);
  const otherChecksum = new Checksum(other);
  arena.bytes.set(hex('0001'), 0);
  other.bytes.set(hex('0002'), 0);
  t.equal(Checksum.field(checksum.sum(0, 2)), 0xfffe);
  t.equal(Checksum.field(otherChecksum.sum(0, 2)), 0xfffd);
});
