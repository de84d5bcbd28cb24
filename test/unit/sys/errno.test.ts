import { constants } from 'node:os';
import t from 'tap';
import * as errno from '../../../src/sys/errno.js';

t.test('the numbers are those of this machine', async (t) => {
  // Node leaves the last one out (asm-generic/errno.h).
  const known: Record<string, number> = { ...constants.errno, EBADFD: 77 };
  for (const [name, value] of Object.entries(errno)) {
    if (typeof value === 'number') t.equal(value, known[name], name);
  }
});

t.test('an errno is named as a person can look it up', async (t) => {
  t.equal(errno.errnoName(16), 'EBUSY');
  t.equal(errno.errnoName(98), 'EADDRINUSE');
  t.equal(errno.errnoName(errno.EBADFD), 'EBADFD', 'which Node has no name for');
});

t.test('unreachable is what the network refuses, not the packet or the socket', async (t) => {
  const unreachable = [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN];
  for (const [name, value] of Object.entries(errno)) {
    if (typeof value === 'number') t.equal(errno.isUnreachable(value), unreachable.includes(value), name);
  }
});
