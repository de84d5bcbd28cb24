import t from 'tap';
import { ReceiveTable } from '../../../../src/dataplane/io/receive-table.js';
import { Ipv4SockaddrCodec, Ipv6SockaddrCodec } from '../../../../src/dataplane/io/sockaddr-codec.js';
import { Arena } from '../../../../src/dataplane/memory/arena.js';
import { Ipv6Addresses } from '../../../../src/dataplane/tunnel/ipv6-addresses.js';
import { concat, hex, ipv6, toHex } from '../../../support/bytes.js';
import { follow } from '../../../support/kernel-structures.js';

const CAPACITY = 3;
const SIZE = 4096;

interface SetUp {
  arena: Arena;
  table: ReceiveTable;
  message: (index: number) => number;
}

/** Over IPv6 when there are addresses. */
function setUp(addresses?: Ipv6Addresses): SetUp {
  const arena = new Arena(131072);
  arena.reserve(64);
  const codec =
    addresses === undefined ? new Ipv4SockaddrCodec(arena) : new Ipv6SockaddrCodec(arena, addresses);
  const table = new ReceiveTable(arena, CAPACITY, SIZE, codec);
  return { arena, table, message: (index) => Number(table.messages) - arena.base + index * 64 };
}

t.test('each message has its own iovec, sockaddr_in and control block', async (t) => {
  const { arena, table, message } = setUp();
  const seen = new Set<number>();
  for (let i = 0; i < CAPACITY; i++) {
    const at = message(i);
    const iovec = follow(arena, at + 16);
    seen
      .add(follow(arena, at))
      .add(iovec)
      .add(follow(arena, at + 32));
    t.equal(arena.view.getUint32(at + 8, true), 16, 'msg_namelen');
    t.equal(arena.view.getBigUint64(at + 24, true), 1n, 'msg_iovlen');
    t.equal(follow(arena, iovec), table.buffer(i));
    t.equal(arena.view.getBigUint64(iovec + 8, true), BigInt(SIZE));
  }
  t.equal(seen.size, 3 * CAPACITY);
});

t.test('buffers do not overlap', async (t) => {
  const { table } = setUp();
  t.ok(table.buffer(1) - table.buffer(0) >= SIZE);
  t.ok(table.buffer(2) - table.buffer(1) >= SIZE);
});

t.test('prepare restores the length of the control blocks that were used', async (t) => {
  const { arena, table, message } = setUp();
  table.prepare(CAPACITY);
  for (let i = 0; i < CAPACITY; i++) {
    t.ok(arena.view.getBigUint64(message(i) + 40, true) >= 48n, 'UDP_GRO and IP_TOS: CMSG_SPACE 24 each');
    arena.view.setBigUint64(message(i) + 40, 0n, true);
  }
  table.prepare(1);
  t.ok(arena.view.getBigUint64(message(0) + 40, true) >= 48n);
  t.equal(arena.view.getBigUint64(message(1) + 40, true), 0n);
});

t.test('source, length and truncation are read from what the kernel wrote into the message', async (t) => {
  const { arena, table, message } = setUp();
  arena.view.setUint32(message(1) + 56, 1458, true);
  arena.view.setInt32(message(1) + 48, 0x20, true);
  arena.bytes.set([192, 168, 77, 2], follow(arena, message(1)) + 4);
  t.equal(table.length(1), 1458);
  t.equal(table.isTruncated(1), true);
  t.equal(table.source(1), 0xc0a84d02 | 0);
  t.same([table.length(0), table.isTruncated(0), table.source(0)], [0, false, 0]);
});

t.test('each message has its own sockaddr_in6 over IPv6, and source distinguishes known peers', async (t) => {
  const addresses = new Ipv6Addresses();
  const [one, other] = [addresses.add(ipv6('fd00:77::2')), addresses.add(ipv6('fd00:77::3'))];
  const { arena, table, message } = setUp(addresses);
  const senders = [
    'fd000077000000000000000000000003',
    '20010db8000000000000000000000002',
    'fd000077000000000000000000000002',
  ];
  for (const [index, address] of senders.entries()) {
    t.equal(arena.view.getUint32(message(index) + 8, true), 28, 'msg_namelen');
    // AF_INET6 10, port 50000, flow information, address, scope
    arena.bytes.set(hex(`0a00 c350 0006aabb ${address} 00000000`), follow(arena, message(index)));
  }
  t.same([table.source(0), table.source(1), table.source(2)], [other, -1, one]);
});

/** cmsg_len 20, SOL_UDP 17, UDP_GRO 104, 1450; padded to 24. */
const GRO = hex('1400000000000000 11000000 68000000 aa050000 00000000');
/** cmsg_len 17, IPPROTO_IP 0, IP_TOS 1, 0x2e << 2 | 3; padded to 24. */
const TOS = hex('1100000000000000 00000000 01000000 bb 00000000000000');
/** SO_TIMESTAMP, 16 bytes: a control message that Weft does not use. */
const OTHER = hex('2000000000000000 01000000 1d000000 0011223344556677 8899aabbccddeeff');

/** cmsg_len 20, IPPROTO_IPV6 41, IPV6_TCLASS 67, 0xb8 | 2; padded to 24. */
const TRAFFIC_CLASS = hex('1400000000000000 29000000 43000000 ba000000 00000000');

function parsed(
  block: Uint8Array,
  length = block.length,
  addresses?: Ipv6Addresses,
): { datagramSize: number; tos: number } {
  const { arena, table, message } = setUp(addresses);
  arena.bytes.set(block, follow(arena, message(1) + 32));
  arena.view.setBigUint64(message(1) + 40, BigInt(length), true);
  table.parseControl(1);
  const { datagramSize, tos } = table;
  return { datagramSize, tos };
}

t.test('parseControl reads UDP_GRO and IP_TOS in either order', async (t) => {
  t.same(parsed(GRO), { datagramSize: 1450, tos: 0 });
  t.same(parsed(TOS), { datagramSize: 0, tos: 0xbb });
  t.same(parsed(concat(GRO, TOS)), { datagramSize: 1450, tos: 0xbb });
  t.same(parsed(concat(TOS, GRO)), { datagramSize: 1450, tos: 0xbb });
});

t.test(
  'parseControl reads IPV6_TCLASS over IPv6, and ignores the control message of the other family',
  async (t) => {
    const both = concat(GRO, TRAFFIC_CLASS);
    t.same(parsed(both, both.length, new Ipv6Addresses()), { datagramSize: 1450, tos: 0xba });
    t.same(parsed(TOS, TOS.length, new Ipv6Addresses()), { datagramSize: 0, tos: 0 });
    t.same(parsed(TRAFFIC_CLASS), { datagramSize: 0, tos: 0 });
  },
);

t.test('parseControl skips other control messages', async (t) => {
  t.same(parsed(concat(OTHER, GRO)), { datagramSize: 1450, tos: 0 });
});

t.test('parseControl accepts a last control message without padding, as the kernel counts it', async (t) => {
  t.same(parsed(concat(GRO, TOS), 24 + 17), { datagramSize: 1450, tos: 0xbb });
});

t.test('parseControl reads nothing behind msg_controllen', async (t) => {
  t.same(parsed(concat(GRO, TOS), 24), { datagramSize: 1450, tos: 0 });
  t.same(parsed(GRO, 0), { datagramSize: 0, tos: 0 });
});

t.test('parseControl terminates on a control message of length 0', async (t) => {
  t.same(parsed(new Uint8Array(48)), { datagramSize: 0, tos: 0 });
});

t.test('parseControl resets what the last message had', async (t) => {
  const { arena, table, message } = setUp();
  arena.bytes.set(concat(GRO, TOS), follow(arena, message(0) + 32));
  arena.view.setBigUint64(message(0) + 40, 48n, true);
  table.parseControl(0);
  table.parseControl(1);
  t.same([table.datagramSize, table.tos], [0, 0]);
});

t.test('parseControl reads nothing of the next control block', async (t) => {
  const { arena, table, message } = setUp();
  arena.bytes.set(concat(GRO, TOS), follow(arena, message(1) + 32));
  arena.view.setBigUint64(message(1) + 40, 48n, true);
  table.parseControl(0);
  t.equal(table.datagramSize, 0);
  t.ok(toHex(GRO).length > 0);
});

t.test('footprint covers what a ReceiveTable reserves of the arena', async (t) => {
  for (const codec of [Ipv4SockaddrCodec, Ipv6SockaddrCodec]) {
    const arena = new Arena(131072);
    new ReceiveTable(arena, 5, 3000, new codec(arena, new Ipv6Addresses()));
    t.ok(arena.reserve(1) <= ReceiveTable.footprint(5, 3000));
  }
});
