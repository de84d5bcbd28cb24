import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Journal, readJournal, removeJournal } from '../../../src/control/journal.js';
import { catchLog } from '../../support/catch-log.js';
import { FakeIp } from '../../support/fake-ip.js';

const SUBNET_FILE = '/run/flannel/subnet.env';

t.test('Journal writes devices and routes of all owners, readable by root alone', async (t) => {
  const dir = t.testdir({});
  const journal = new Journal(dir, SUBNET_FILE);
  await journal.setDevice('flannel.1', 5);
  await journal.setRoutes('flannel.1', ['10.244.2.0/24 via 192.168.77.2']);
  await journal.setRoutes('blackhole', ['blackhole 10.244.1.0/24']);
  t.same(await readJournal(dir), {
    pid: process.pid,
    devices: [{ name: 'flannel.1', index: 5 }],
    subnetFile: SUBNET_FILE,
    routes: ['10.244.2.0/24 via 192.168.77.2', 'blackhole 10.244.1.0/24'],
  });
  t.equal(statSync(join(dir, 'state.json')).mode & 0o777, 0o600);
});

t.test('Journal does not write an unchanged state', async (t) => {
  const dir = t.testdir({});
  const journal = new Journal(dir, SUBNET_FILE);
  await journal.setRoutes('flannel.1', ['10.244.2.0/24 via 192.168.77.2']);
  writeFileSync(join(dir, 'state.json'), 'untouched');
  await journal.setRoutes('flannel.1', ['10.244.2.0/24 via 192.168.77.2']);
  t.equal(readFileSync(join(dir, 'state.json'), 'utf8'), 'untouched');
});

t.test('removeRoutes deletes all routes from the kernel and from the file', async (t) => {
  const ip = FakeIp.install(t);
  const dir = t.testdir({});
  const journal = new Journal(dir, SUBNET_FILE);
  await journal.setDevice('flannel.1', 5);
  await journal.setRoutes('flannel.1', ['10.244.2.0/24 via 192.168.77.2']);
  await journal.setRoutes('blackhole', ['blackhole 10.244.1.0/24']);
  await journal.removeRoutes();
  t.same(ip.taken(), ['route delete 10.244.2.0/24 via 192.168.77.2', 'route delete blackhole 10.244.1.0/24']);
  t.same((await readJournal(dir))?.routes, []);
});

t.test('removeEarlierRoutes deletes the routes of an earlier run that this run does not have', async (t) => {
  const ip = FakeIp.install(t);
  const dir = t.testdir({});
  const [kept, stale] = ['10.244.2.0/24 via 192.168.77.2', '10.244.3.0/24 via 192.168.77.3'];
  const journal = new Journal(dir, SUBNET_FILE, [kept, stale]);
  await journal.setDevice('flannel.1', 5);
  t.same((await readJournal(dir))?.routes, [kept, stale], 'until then a crash loses none');
  await journal.setRoutes('flannel.1', [kept]);
  await journal.removeEarlierRoutes();
  t.same(ip.taken(), [`route delete ${stale}`]);
  t.same((await readJournal(dir))?.routes, [kept]);
});

t.test('readJournal returns undefined for a missing or broken file', async (t) => {
  const dir = t.testdir({});
  t.equal(await readJournal(dir), undefined);
  writeFileSync(join(dir, 'state.json'), '{ "pid":');
  t.equal(await readJournal(dir), undefined);
});

t.test('removeJournal accepts a missing file', async (t) => {
  const dir = t.testdir({});
  await new Journal(dir, SUBNET_FILE).setDevice('flannel.1', 5);
  await removeJournal(dir);
  await removeJournal(dir);
  t.same(readdirSync(dir), []);
});

t.test('readJournal logs a bad file, or bad parts of it, in one line that names the file', async (t) => {
  const log = catchLog(t);
  for (const [text, line] of [
    ['{ "pid":', 'ignoring the state of the last run: it is not JSON'],
    ['{"routes":"abc"}', 'ignoring 1 invalid entries'],
    ['{"routes":[1,2],"devices":[{}]}', 'ignoring 3 invalid entries'],
  ]) {
    const dir = t.testdir({ 'state.json': text });
    await readJournal(dir);
    await readJournal(dir);
    t.same(log.splice(0), [`W ${join(dir, 'state.json')}: ${line}`]);
  }
  const dir = t.testdir({});
  mkdirSync(join(dir, 'state.json'));
  t.equal(await readJournal(dir), undefined);
  t.match(log[0], /state\.json: ignoring the state of the last run: this is a directory/);
});
