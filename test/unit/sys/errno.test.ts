import { constants } from 'node:os';
import t from 'tap';
import * as errno from '../../../src/sys/errno.js';

t.test('errno constants match this machine', async (t) => {
  // Node does not list EBADFD (asm-generic/errno.h), and no libc ENOTSUPP (include/linux/errno.h).
  const known: Record<string, number> = { ...constants.errno, EBADFD: 77, ENOTSUPP: 524 };
  for (const [name, value] of Object.entries(errno)) {
    if (typeof value === 'number') t.equal(value, known[name], name);
  }
});

t.test('errnoName returns the symbolic name', async (t) => {
  t.equal(errno.errnoName(16), 'EBUSY');
  t.equal(errno.errnoName(98), 'EADDRINUSE');
  t.equal(errno.errnoName(errno.EBADFD), 'EBADFD', 'a name that Node does not know');
});
