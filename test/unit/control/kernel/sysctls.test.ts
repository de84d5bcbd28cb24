import t from 'tap';
import { Settings } from '../../../../src/control/kernel/sysctls.js';
import { catchLog } from '../../../support/catch-log.js';

t.test('a setting that cannot be made is told once, with what it means, and not asked for again', (t) => {
  const log = catchLog(t);
  // A directory can be neither read nor written.
  const settings = new Settings([{ path: '/proc/sys/net', value: '1', loss: 'nothing works' }]);
  settings.establish();
  t.equal(settings.deviate, false);
  t.equal(settings.hold(), 0);
  t.strictSame(log, ['W /proc/sys/net cannot be set (EISDIR): nothing works']);
  t.end();
});

t.test("one that is not there is nobody's loss", (t) => {
  const log = catchLog(t);
  new Settings([{ path: '/proc/sys/net/no-such-thing', value: '1', loss: 'nothing works' }]).establish();
  t.strictSame(log, []);
  t.end();
});
