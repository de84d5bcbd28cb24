import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Sysctls } from '../../../../src/control/kernel/sysctls.js';
import { catchLog } from '../../../support/catch-log.js';

t.test('Sysctls logs a sysctl that cannot be set once, with the loss, and then ignores it', (t) => {
  const log = catchLog(t);
  // A directory can be neither read nor written.
  const sysctls = new Sysctls([{ path: '/proc/sys/net', value: '1', loss: 'nothing works' }]);
  sysctls.initialize();
  t.equal(sysctls.hasDrift, false);
  t.equal(sysctls.repair(), 0);
  t.strictSame(log, ['W /proc/sys/net cannot be set (EISDIR): nothing works']);
  t.end();
});

t.test('Sysctls accepts a read-only sysctl that has the value', (t) => {
  const log = catchLog(t);
  // Root may write a file of mode 0400; this one of the kernel accepts no write at all.
  const sysctls = new Sysctls([{ path: '/proc/sys/kernel/ostype', value: 'Linux', loss: 'nothing works' }]);
  sysctls.initialize();
  t.equal(sysctls.hasDrift, false);
  t.strictSame(log, []);
  t.end();
});

t.test('Sysctls writes a refused sysctl into /proc/sys/net of the host', (t) => {
  const log = catchLog(t);
  const host = t.testdir({ ipv4: '0\n' });
  // A directory of this machine: it can be neither read nor written.
  const sysctls = new Sysctls(
    [{ path: '/proc/sys/net/ipv4', value: '1', loss: 'nothing works' }],
    `${host}/`,
  );
  sysctls.initialize();
  t.equal(readFileSync(join(host, 'ipv4'), 'utf8'), '1');
  t.strictSame(log, []);
  t.end();
});

t.test('Sysctls logs no loss for a device that is gone', (t) => {
  const log = catchLog(t);
  new Sysctls([{ path: '/proc/sys/net/no-such-thing', value: '1', loss: 'nothing works' }]).initialize();
  t.strictSame(log, []);
  t.end();
});

t.test('Sysctls notices and repairs a changed value', (t) => {
  const path = join(t.testdir({ forwarding: '0\n' }), 'forwarding');
  const sysctls = new Sysctls([{ path, value: '1' }]);
  sysctls.initialize();
  t.equal(sysctls.hasDrift, false);
  writeFileSync(path, '0\n');
  t.equal(sysctls.hasDrift, true);
  t.equal(sysctls.repair(), 1);
  t.equal(sysctls.hasDrift, false);
  t.end();
});

t.test('Sysctls sets the full list on the next device after a device that was gone', (t) => {
  const device = join(t.testdir({}), 'flannel.1');
  const path = join(device, 'forwarding');
  const sysctls = new Sysctls([{ path, value: '1' }]);
  sysctls.initialize();
  mkdirSync(device);
  writeFileSync(path, '0\n');
  t.equal(sysctls.hasDrift, true, 'a file that comes back is watched');
  sysctls.initialize();
  t.equal(readFileSync(path, 'utf8'), '1');
  t.end();
});

t.test('Sysctls tries a refused sysctl again on the next device', (t) => {
  catchLog(t);
  const path = join(t.testdir({ forwarding: {} }), 'forwarding');
  const sysctls = new Sysctls([{ path, value: '1' }]);
  sysctls.initialize();
  rmdirSync(path);
  writeFileSync(path, '0\n');
  t.equal(sysctls.hasDrift, false);
  sysctls.initialize();
  t.equal(readFileSync(path, 'utf8'), '1');
  t.end();
});
