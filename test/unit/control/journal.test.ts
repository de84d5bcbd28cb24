import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readRunState, removeRunState, writeRunState } from '../../../src/control/journal.js';

const STATE = {
  pid: 7,
  devices: [{ name: 'flannel.1', index: 5 }],
  subnetFile: '/run/flannel/subnet.env',
  routes: [],
};

t.test('what was written is read, and only its owner can', async (t) => {
  const dir = t.testdir({});
  await writeRunState(dir, STATE);
  t.same(await readRunState(dir), STATE);
  const [file] = readdirSync(dir);
  t.equal(statSync(join(dir, file as string)).mode & 0o777, 0o600);
});

t.test('a state that is missing or broken is none', async (t) => {
  const dir = t.testdir({});
  t.equal(await readRunState(dir), undefined);
  await writeRunState(dir, STATE);
  writeFileSync(join(dir, readdirSync(dir)[0] as string), '{ "pid":');
  t.equal(await readRunState(dir), undefined);
});

t.test('removing it twice is fine', async (t) => {
  const dir = t.testdir({});
  await writeRunState(dir, STATE);
  await removeRunState(dir);
  await removeRunState(dir);
  t.same(readdirSync(dir), []);
});
