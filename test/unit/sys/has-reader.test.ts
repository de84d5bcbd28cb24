import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import t from 'tap';
import { hasReader } from '../../../src/sys/has-reader.js';

t.test('a pipe has a reader until the last one has closed it', async (t) => {
  // The child's standard input is the only reading end.
  const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  await once(child, 'spawn');
  const { fd } = (child.stdin as unknown as { _handle: { fd: number } })._handle;
  t.equal(hasReader(fd), true);
  child.kill('SIGKILL');
  await once(child, 'exit');
  t.equal(hasReader(fd), false);
});

t.test('a file has a reader', async (t) => {
  const fd = openSync('/dev/null', 'w');
  t.teardown(() => closeSync(fd));
  t.equal(hasReader(fd), true);
});
