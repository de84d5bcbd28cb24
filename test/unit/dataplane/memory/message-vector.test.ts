import t from 'tap';
import { Arena } from '../../../../src/dataplane/memory/arena.js';
import { MessageVector } from '../../../../src/dataplane/memory/message-vector.js';
import { ipv4, toHex } from '../../../support/bytes.js';

// Structures of the 64-bit ABI, little-endian:
//   mmsghdr 64 B: name @0, namelen u32 @8, iov @16, iovlen @24, control @32, controllen @40, flags @48, msg_len @56
//   iovec 16 B: base @0, len @8    sockaddr_in 16 B: family @0, port @2 and address @4 in network order

const CAPACITY = 3;

function setUp(): { arena: Arena; vector: MessageVector; message: (index: number) => number } {
  const arena = new Arena(65536);
  arena.reserve(64);
  const vector = new MessageVector(arena, CAPACITY, 8472);
  return { arena, vector, message: (index) => vector.message(index) - arena.base };
}

/** The arena offset that a pointer at `at` leads to. */
function follow(arena: Arena, at: number): number {
  return Number(arena.view.getBigUint64(at, true) - BigInt(arena.base));
}

t.test('messages are mmsghdr structures one after the other', async (t) => {
  const { vector } = setUp();
  t.equal(vector.message(1) - vector.message(0), 64);
  t.equal(vector.message(2) - vector.message(0), 128);
});

t.test('each message has one iovec and one sockaddr_in of its own, and no control data', async (t) => {
  const { arena, message } = setUp();
  const names = new Set<number>();
  const iovecs = new Set<number>();
  for (let i = 0; i < CAPACITY; i++) {
    const at = message(i);
    names.add(follow(arena, at));
    iovecs.add(follow(arena, at + 16));
    t.equal(arena.view.getUint32(at + 8, true), 16, 'msg_namelen');
    t.equal(arena.view.getBigUint64(at + 24, true), 1n, 'msg_iovlen');
    t.equal(toHex(arena.bytes.slice(at + 32, at + 64)), '00'.repeat(32), 'control, flags, msg_len');
  }
  t.equal(names.size, CAPACITY);
  t.equal(iovecs.size, CAPACITY);
});

t.test('a sockaddr_in is AF_INET with the port in network order', async (t) => {
  const { arena, message } = setUp();
  for (let i = 0; i < CAPACITY; i++) {
    const name = follow(arena, message(i));
    t.equal(toHex(arena.bytes.slice(name, name + 16)), '02002118000000000000000000000000');
  }
});

t.test('setBuffer points the iovec of one message', async (t) => {
  const { arena, vector, message } = setUp();
  vector.setBuffer(1, 4096, 1458);
  const iovec = follow(arena, message(1) + 16);
  t.equal(follow(arena, iovec), 4096);
  t.equal(arena.view.getBigUint64(iovec + 8, true), 1458n);
  vector.setBuffer(1, 5000, 60);
  t.equal(follow(arena, iovec), 5000);
  t.equal(arena.view.getBigUint64(iovec + 8, true), 60n);
});

t.test('addresses go in and out in network order', async (t) => {
  const { arena, vector, message } = setUp();
  for (const text of ['10.0.0.1', '192.168.77.2', '223.255.255.254']) {
    vector.setAddress(2, ipv4(text));
    const name = follow(arena, message(2));
    t.equal(arena.bytes.slice(name + 4, name + 8).join('.'), text);
    t.equal(vector.address(2), ipv4(text));
  }
  t.equal(vector.address(1), 0, 'other messages keep theirs');
});

t.test('received and flags are what the kernel left in the message', async (t) => {
  const { arena, vector, message } = setUp();
  arena.view.setUint32(message(1) + 56, 1458, true);
  arena.view.setInt32(message(1) + 48, 0x20, true);
  t.equal(vector.received(1), 1458);
  t.equal(vector.flags(1), 0x20);
  t.equal(vector.received(0), 0);
});

t.test('footprint covers what a vector takes of the arena', async (t) => {
  const arena = new Arena(65536);
  new MessageVector(arena, 5, 8472);
  t.ok(arena.reserve(1) <= MessageVector.footprint(5));
});
