import t from 'tap';
import { SystemError } from '../../../src/sys/system-error.js';

t.test('SystemError names the call and the errno', async (t) => {
  const error = new SystemError('TUNSETIFF flannel.1', -16);
  t.equal(error.message, 'TUNSETIFF flannel.1: EBUSY');
  t.equal(error.syscall, 'TUNSETIFF flannel.1');
  t.equal(error.errno, 16);
  t.equal(error.code, 'EBUSY');
  t.equal(error.name, 'SystemError');
});
