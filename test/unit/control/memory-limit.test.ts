import t from 'tap';
import { warnOfMemoryLimit } from '../../../src/control/memory-limit.js';
import { catchLog } from '../../support/catch-log.js';

t.test('warnOfMemoryLimit names a limit that is too small, and what to raise', async (t) => {
  const log = catchLog(t);
  warnOfMemoryLimit(50 << 20);
  t.match(log, [/^W memory limit of 50 MiB: .*needs 96 MiB; raise resources\.limits\.memory/]);
});

t.test('warnOfMemoryLimit is silent without a limit, and with enough memory', async (t) => {
  const log = catchLog(t);
  for (const limit of [0, 96 << 20, 256 << 20, 2 ** 64]) warnOfMemoryLimit(limit);
  t.strictSame(log, []);
});
