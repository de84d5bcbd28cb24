import { chmodSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { TextFile } from '../../../../src/control/support/text-file.js';

t.test(
  'TextFile notices and restores a file that is deleted, emptied, changed or gone with its directory',
  async (t) => {
    const path = join(t.testdir({}), 'dir', 'file');
    const file = new TextFile(path, 0o640);
    t.equal(await file.isIntact(), true, 'before the first write');
    await file.write('text\n');
    t.equal(statSync(path).mode & 0o777, 0o640);
    for (const harm of [
      () => rmSync(path),
      () => writeFileSync(path, ''),
      () => writeFileSync(path, 'TEXT\n'),
      () => rmSync(dirname(path), { recursive: true }),
    ]) {
      t.equal(await file.isIntact(), true);
      harm();
      t.equal(await file.isIntact(), false);
      await file.restore();
      t.equal(readFileSync(path, 'utf8'), 'text\n');
    }
    t.same(readdirSync(dirname(path)), ['file']);
  },
);

t.test('TextFile accepts another mode and an equal copy', async (t) => {
  const path = join(t.testdir({}), 'file');
  const file = new TextFile(path, 0o644);
  await file.write('text\n');
  chmodSync(path, 0o600);
  t.equal(await file.isIntact(), true);
  rmSync(path);
  writeFileSync(path, 'text\n');
  t.equal(await file.isIntact(), true);
});

t.test('TextFile keeps a text that cannot be written, and restores it later', async (t) => {
  const path = join(t.testdir({ file: {} }), 'file');
  const file = new TextFile(path, 0o644);
  await t.rejects(file.write('text\n'), { code: 'EISDIR' });
  t.equal(await file.isIntact(), false);
  rmSync(path, { recursive: true });
  await file.restore();
  t.equal(readFileSync(path, 'utf8'), 'text\n');
});

t.test('TextFile replaces no device, and follows no link at the name of its temporary file', async (t) => {
  const dir = t.testdir({ other: 'kept' });
  await t.rejects(new TextFile('/dev/null', 0o644).write('x'), { message: 'this is a device; name a file' });
  symlinkSync('other', join(dir, `file.${process.pid}.tmp`));
  await new TextFile(join(dir, 'file'), 0o644).write('text');
  t.equal(readFileSync(join(dir, 'file'), 'utf8'), 'text');
  t.equal(readFileSync(join(dir, 'other'), 'utf8'), 'kept');
});
