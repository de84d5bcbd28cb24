import t from 'tap';
import { Arena } from '../../../../src/dataplane/memory/arena.js';
import { EFD_NONBLOCK } from '../../../../src/sys/constants.js';
import { addressOf, close, eventfd, read, write } from '../../../../src/sys/ffi.js';
import { hex } from '../../../support/bytes.js';

t.test('reservations begin on cache lines and do not overlap', async (t) => {
  const arena = new Arena(65536);
  t.equal(arena.reserve(1), 0);
  t.equal(arena.reserve(64), 64);
  t.equal(arena.reserve(65), 128);
  t.equal(arena.reserve(1), 256);
});

t.test('an arena consists of whole WebAssembly pages', async (t) => {
  t.equal(new Arena(1).bytes.length, 65536);
  t.equal(new Arena(65537).bytes.length, 131072);
});

t.test('reserve throws an error with the numbers when the arena is full', async (t) => {
  const arena = new Arena(65536);
  arena.reserve(65536 - 64);
  t.equal(arena.reserve(64), 65536 - 64, 'the last line fits');
  t.throws(() => arena.reserve(1), new RangeError('arena of 65536 bytes has no room for 1 more at 65536'));
});

t.test('bytes, words and view are the same memory, zero at first', async (t) => {
  const arena = new Arena(65536);
  t.ok(arena.bytes.every((byte) => byte === 0));
  arena.bytes.set(hex('01020304'), 8);
  t.equal(arena.view.getUint32(8), 0x01020304);
  t.equal(arena.words[2], 0x04030201);
});

t.test('the base is the absolute address of offset 0', async (t) => {
  const arena = new Arena(65536);
  t.equal(arena.address(0), addressOf(arena.bytes));
  t.equal(arena.address(100), addressOf(arena.bytes.subarray(100)));
  t.equal(BigInt(arena.base), arena.address(0));
  // What the kernel writes at base + offset is seen at offset: an eventfd gives its count as 8 bytes.
  const fd = eventfd(EFD_NONBLOCK);
  arena.bytes.set(hex('0700000000000000'), 64);
  t.equal(write(fd, arena.address(64), 8), 8);
  t.equal(read(fd, arena.address(128), 8), 8);
  t.equal(arena.words[32], 7);
  close(fd);
});

t.test('writePointer writes an absolute address as a 64-bit number', async (t) => {
  const arena = new Arena(65536);
  arena.writePointer(16, 0x1234);
  t.equal(arena.view.getBigUint64(16, true), BigInt(arena.base) + 0x1234n);
});

t.test('writePointer keeps both halves of an address', async (t) => {
  const arena = new Arena(65536);
  const pretend = Object.create(arena, {
    baseHigh: { value: 0x7fff },
    baseLow: { value: 0x8000_0000 },
  }) as Arena;
  pretend.writePointer(16, 0x7fff_ffff);
  t.equal(arena.view.getBigUint64(16, true), 0x7fff_ffff_ffffn);
  pretend.writePointer(16, 0x8000_0000);
  t.equal(arena.view.getBigUint64(16, true), 0x8000_0000_0000n);
});
