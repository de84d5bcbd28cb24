import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { makeDirectory } from '../../../../src/control/support/make-directory.js';

t.test('makeDirectory creates what is missing and returns the first directory it created', async (t) => {
  const root = t.testdir({});
  t.equal(await makeDirectory(join(root, 'a/b/c')), join(root, 'a'));
  t.ok(statSync(join(root, 'a/b/c')).isDirectory());
  t.equal(await makeDirectory(join(root, 'a/b/c')), undefined, 'all exist');
  t.equal(await makeDirectory(join(root, 'a/b/d')), join(root, 'a/b/d'));
});

t.test('makeDirectory rejects where the kernel creates no directory, as below /proc', async (t) => {
  await t.rejects(makeDirectory('/proc/weft/run'), { code: 'ENOENT' });
});

t.test('makeDirectory rejects a path that is a file or leads through one', async (t) => {
  const root = t.testdir({});
  writeFileSync(join(root, 'file'), '');
  await t.rejects(makeDirectory(join(root, 'file')), { code: 'EEXIST' });
  await t.rejects(makeDirectory(join(root, 'file/run')), { code: 'ENOTDIR' });
});
