import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import t from 'tap';
import { hasReader } from '../../../src/sys/has-reader.js';

t.test('a pipe has a reader until its last one closes it', async (t) => {
  const path = `${t.testdir({})}/pipe`;
  execFileSync('mkfifo', [path]);
  const readers = [1, 2].map(() => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  const writer = openSync(path, constants.O_WRONLY);
  t.teardown(() => closeSync(writer));
  for (const reader of readers) {
    t.equal(hasReader(writer), true);
    closeSync(reader);
  }
  t.equal(hasReader(writer), false);
});

t.test('a file has a reader', async (t) => {
  const fd = openSync('/dev/null', 'w');
  t.teardown(() => closeSync(fd));
  t.equal(hasReader(fd), true);
});
