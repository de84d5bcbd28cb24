import t from 'tap';
import { ServiceManager } from '../../../src/control/service-manager.js';
import { catchLog } from '../../support/catch-log.js';
import { listenForNotices } from '../../support/notify-socket.js';

t.test('ServiceManager reports the states of a main process', async (t) => {
  const { name, messages } = listenForNotices(t);
  const manager = new ServiceManager(name);
  manager.ready();
  manager.reloading();
  manager.ready();
  manager.stopping();
  const [ready, reloading, ...rest] = messages();
  t.equal(ready, 'READY=1');
  t.match(reloading, /^RELOADING=1\nMONOTONIC_USEC=\d+$/);
  t.strictSame(rest, ['READY=1', 'STOPPING=1']);
});

t.test('ServiceManager sends to an abstract socket', async (t) => {
  const { name, messages } = listenForNotices(t, `@weft-test-${process.pid}`);
  new ServiceManager(name).ready();
  t.strictSame(messages(), ['READY=1']);
});

t.test('ServiceManager names the successor, and no later message concerns it', async (t) => {
  const { name, messages } = listenForNotices(t);
  const manager = new ServiceManager(name);
  manager.ready();
  manager.handOver(42);
  manager.stopping();
  t.strictSame(messages(), ['READY=1', 'READY=1\nMAINPID=42']);
});

t.test(
  'ServiceManager reports no stop before the node is ready: another process may be the main one',
  async (t) => {
    const { name, messages } = listenForNotices(t);
    new ServiceManager(name).stopping();
    t.strictSame(messages(), []);
  },
);

t.test('ServiceManager logs a socket that does not exist', async (t) => {
  const log = catchLog(t);
  new ServiceManager('/nonexistent/notify').ready();
  t.match(log.join('\n'), /the service manager was not told READY=1: .*ENOENT/);
});

t.test('ServiceManager without a manager sends nothing', async (t) => {
  const log = catchLog(t);
  for (const socket of [undefined, '']) new ServiceManager(socket).ready();
  t.strictSame(log, []);
});
