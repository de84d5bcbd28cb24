import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { close } from '../../../src/sys/ffi.js';
import {
  openDescriptorSocket,
  receiveDescriptors,
  sendDescriptors,
} from '../../../src/sys/pass-descriptors.js';

/** Returns a path for a socket, short enough for sun_path. */
function socketPath(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'weft-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  return join(dir, 's');
}

t.test('passed descriptors refer to the same open files, in order, with their text', async (t) => {
  const dir = t.testdir({ one: 'first file', two: 'second file' });
  const path = socketPath(t);
  const receiver = openDescriptorSocket(path);
  t.equal(receiveDescriptors(receiver), undefined, 'nothing is waiting yet');
  const sent = ['one', 'two'].map((name) => openSync(join(dir, name), 'r'));
  // The file offset belongs to the open file, which both processes share.
  readSync(sent[0] as number, Buffer.alloc(6));
  sendDescriptors(path, { text: 'zwei Dateien ✓', fds: sent });
  for (const fd of sent) closeSync(fd);
  const received = receiveDescriptors(receiver);
  t.equal(received?.text, 'zwei Dateien ✓');
  const contents = received?.fds.map((fd) => {
    const buffer = Buffer.alloc(100);
    return buffer.toString('utf8', 0, readSync(fd, buffer));
  });
  t.strictSame(contents, ['file', 'second file']);
  for (const fd of received?.fds ?? []) closeSync(fd);
  close(receiver);
});

t.test('sendDescriptors throws if no process receives', async (t) => {
  const path = socketPath(t);
  t.throws(() => sendDescriptors(path, { text: '', fds: [] }), { code: 'ENOENT' });
  writeFileSync(path, '');
  t.throws(() => sendDescriptors(path, { text: '', fds: [] }), { code: 'ECONNREFUSED' });
});

t.test('openDescriptorSocket refuses a path that sun_path cannot hold', async (t) => {
  t.throws(() => openDescriptorSocket(`/tmp/${'x'.repeat(110)}`), { code: 'EMSGSIZE' });
});
