import t from 'tap';
import { SendTable } from '../../../../src/dataplane/io/send-table.js';
import {
  Ipv4SockaddrCodec,
  Ipv6SockaddrCodec,
  type SockaddrCodec,
} from '../../../../src/dataplane/io/sockaddr-codec.js';
import { Arena } from '../../../../src/dataplane/memory/arena.js';
import { Ipv6Addresses } from '../../../../src/dataplane/tunnel/ipv6-addresses.js';
import { concat, ipv4, ipv6, pattern, toHex } from '../../../support/bytes.js';
import { controls, follow, gathered } from '../../../support/kernel-structures.js';

const CAPACITY = 3;
const PIECES = 8;
/** Where the test's packets lie: behind everything that SendTable reserves. */
const DATA = 32768;

interface SetUp {
  arena: Arena;
  table: SendTable;
  message: (index: number) => number;
}

function setUp(codecIn: (arena: Arena) => SockaddrCodec = (arena) => new Ipv4SockaddrCodec(arena)): SetUp {
  const arena = new Arena(65536);
  arena.reserve(64);
  arena.bytes.set(pattern(8192), DATA);
  const table = new SendTable(arena, CAPACITY, PIECES, codecIn(arena), 8472);
  return { arena, table, message: (index) => Number(table.message(index)) - arena.base };
}

t.test('messages are consecutive mmsghdr structures', async (t) => {
  const { table } = setUp();
  t.equal(table.message(1) - table.message(0), 64n);
  t.equal(table.message(2) - table.message(0), 128n);
});

t.test('each message has its own sockaddr_in: AF_INET, port and address in network order', async (t) => {
  const { arena, table, message } = setUp();
  const texts = ['10.0.0.1', '192.168.77.2', '223.255.255.254'];
  for (const text of texts) {
    table.begin(ipv4(text), 0, 10);
    table.add(DATA, 10);
    table.end(1);
  }
  const names = texts.map((_, index) => follow(arena, message(index)));
  t.equal(new Set(names).size, CAPACITY);
  t.same(
    names.map((name) => toHex(arena.bytes.slice(name, name + 16))),
    ['0a000001', 'c0a84d02', 'dffffffe'].map((address) => `02002118${address}${'00'.repeat(8)}`),
  );
  for (let i = 0; i < CAPACITY; i++) t.equal(arena.view.getUint32(message(i) + 8, true), 16, 'msg_namelen');
});

t.test(
  'each message has its own sockaddr_in6 over IPv6: AF_INET6, port and address in network order, no flow and scope',
  async (t) => {
    const addresses = new Ipv6Addresses();
    const { arena, table, message } = setUp((arena) => new Ipv6SockaddrCodec(arena, addresses));
    const peers = ['fd00:77::2', '2001:db8:0:1:8000:ffff:7fff:fffe', '::1'].map((text) =>
      addresses.add(ipv6(text)),
    );
    for (const peer of [...peers].reverse()) {
      table.begin(peer, 0, 10);
      table.add(DATA, 10);
      table.end(1);
    }
    t.same(
      peers.map((_, index) => {
        const name = follow(arena, message(2 - index));
        return toHex(arena.bytes.slice(name, name + 28));
      }),
      [
        'fd000077000000000000000000000002',
        '20010db8000000018000ffff7ffffffe',
        '00000000000000000000000000000001',
      ].map((address) => `0a002118${'00000000'}${address}${'00000000'}`),
    );
    for (let i = 0; i < CAPACITY; i++) t.equal(arena.view.getUint32(message(i) + 8, true), 28, 'msg_namelen');
  },
);

t.test(
  'a message over IPv6 carries the traffic class as IPV6_TCLASS, an int, behind UDP_SEGMENT',
  async (t) => {
    const addresses = new Ipv6Addresses();
    const { arena, table, message } = setUp((arena) => new Ipv6SockaddrCodec(arena, addresses));
    table.begin(addresses.add(ipv6('::1')), 3, 1000);
    table.add(DATA, 1000);
    table.add(DATA, 1000);
    table.end(2);
    const control = follow(arena, message(0) + 32);
    // cmsg_len 18, SOL_UDP 17, UDP_SEGMENT 103, 1000; cmsg_len 20, IPPROTO_IPV6 41, IPV6_TCLASS 67, 3
    t.equal(
      toHex(arena.bytes.slice(control, control + 44)),
      '1200000000000000' +
        '11000000' +
        '67000000' +
        'e803000000000000' +
        '1400000000000000' +
        '29000000' +
        '43000000' +
        '03000000',
    );
    t.equal(arena.view.getBigUint64(message(0) + 40, true), 48n, 'msg_controllen');
  },
);

t.test('a single datagram is an ordinary message without control data', async (t) => {
  const { arena, table, message } = setUp();
  table.begin(1, 0, 1458);
  table.add(DATA, 50);
  table.add(DATA + 100, 1408);
  table.end(1);
  t.equal(
    toHex(gathered(arena, message(0))),
    toHex(concat(arena.bytes.slice(DATA, DATA + 50), arena.bytes.slice(DATA + 100, DATA + 1508))),
  );
  t.same(controls(arena, message(0)), []);
  t.equal(table.bytes[0], 1458);
  t.equal(table.datagrams[0], 1);
});

t.test('a GSO run carries its datagram size as UDP_SEGMENT, a u16', async (t) => {
  const { arena, table, message } = setUp();
  table.begin(1, 0, 1000);
  for (let i = 0; i < 3; i++) table.add(DATA + i * 1000, i < 2 ? 1000 : 500);
  table.end(3);
  const control = follow(arena, message(0) + 32);
  // cmsg_len 18, SOL_UDP 17, UDP_SEGMENT 103, 1000
  t.equal(
    toHex(arena.bytes.slice(control, control + 18)),
    '1200000000000000' + '11000000' + '67000000' + 'e803',
  );
  t.equal(arena.view.getBigUint64(message(0) + 40, true), 24n, 'msg_controllen');
  t.equal(toHex(gathered(arena, message(0))), toHex(arena.bytes.slice(DATA, DATA + 2500)));
  t.equal(table.bytes[0], 2500);
});

t.test('a message carries the TOS as IP_TOS, an int, behind UDP_SEGMENT', async (t) => {
  const { arena, table, message } = setUp();
  table.begin(1, 3, 1000);
  table.add(DATA, 1000);
  table.add(DATA, 1000);
  table.end(2);
  const control = follow(arena, message(0) + 32);
  // cmsg_len 20, IPPROTO_IP 0, IP_TOS 1, 3
  t.equal(
    toHex(arena.bytes.slice(control + 24, control + 44)),
    '1400000000000000' + '00000000' + '01000000' + '03000000',
  );
  t.equal(arena.view.getBigUint64(message(0) + 40, true), 48n, 'msg_controllen');
});

t.test('a single datagram with a TOS has UDP_SEGMENT 0, which turns segmentation off', async (t) => {
  const { arena, table, message } = setUp();
  table.begin(1, 2, 1000);
  table.add(DATA, 1000);
  table.end(1);
  t.same(controls(arena, message(0)), [
    { level: 17, type: 103, data: Uint8Array.of(0, 0) },
    { level: 0, type: 1, data: Uint8Array.of(2, 0, 0, 0) },
  ]);
});

t.test('a message keeps nothing of its predecessor in the table', async (t) => {
  const { arena, table, message } = setUp();
  table.begin(1, 3, 1000);
  table.add(DATA, 1000);
  table.add(DATA, 1000);
  table.end(2);
  table.clear();
  table.begin(2, 0, 60);
  table.add(DATA, 60);
  table.end(1);
  t.same(controls(arena, message(0)), []);
  t.equal(gathered(arena, message(0)).length, 60);
  t.same([table.count, table.bytes[0], table.tos[0], table.address[0]], [1, 60, 0, 2]);
});

t.test('the pieces of each message are recorded', async (t) => {
  const { table } = setUp();
  table.begin(1, 0, 20);
  table.add(DATA, 10);
  table.add(DATA + 50, 10);
  table.end(1);
  table.begin(1, 0, 30);
  table.add(DATA + 90, 30);
  table.end(1);
  t.same([...table.firstPiece.slice(0, 3)], [0, 2, 3]);
  t.same([...table.pieceOffset.slice(0, 3)], [DATA, DATA + 50, DATA + 90]);
  t.same([...table.pieceLength.slice(0, 3)], [10, 10, 30]);
});

t.test('hasRoom returns true until the messages or the pieces are used up', async (t) => {
  const { table } = setUp();
  t.ok(table.hasRoom(PIECES));
  t.notOk(table.hasRoom(PIECES + 1));
  for (let i = 0; i < CAPACITY; i++) {
    t.ok(table.hasRoom(1));
    table.begin(1, 0, 10);
    table.add(DATA, 10);
    table.end(1);
  }
  t.notOk(table.hasRoom(1));
  table.clear();
  t.ok(table.hasRoom(PIECES));
});

t.test('footprint covers what a SendTable reserves of the arena', async (t) => {
  for (const codec of [Ipv4SockaddrCodec, Ipv6SockaddrCodec]) {
    const arena = new Arena(65536);
    new SendTable(arena, 5, 11, new codec(arena, new Ipv6Addresses()), 8472);
    t.ok(arena.reserve(1) <= SendTable.footprint(5, 11));
  }
});
