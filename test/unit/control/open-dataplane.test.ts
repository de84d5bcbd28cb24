import t from 'tap';
import { udpBackend } from '../../../src/control/backends/udp.js';
import { PLAIN_UDP } from '../../../src/control/config/net-conf.js';
import { userErrorFor } from '../../../src/control/open-dataplane.js';
import type { UserError } from '../../../src/control/support/user-error.js';
import { UnderlayMissing } from '../../../src/control/underlay/rules.js';
import { SystemError } from '../../../src/sys/system-error.js';
import { ip } from '../../support/addresses.js';
import { mentions } from '../../support/user-error.js';

const plan = { backend: udpBackend({ ...PLAIN_UDP, port: 53 }) };

/** Returns the error for the operator when `bind` fails. */
function bindError(errno: number): UserError {
  return userErrorFor(new SystemError('bind', -errno), plan, [], ip('192.0.2.1'));
}

t.test('userErrorFor calls the underlay missing only if the address is', async (t) => {
  const missing = bindError(99);
  t.type(missing, UnderlayMissing);
  mentions(
    t,
    missing.message,
    '192.0.2.1:53',
    'EADDRNOTAVAIL',
    'check that the interface still has the address',
  );
  for (const [errno, ...parts] of [
    [13, 'EACCES', 'CAP_NET_BIND_SERVICE'],
    [1, 'EPERM', 'SELinux'],
    [22, 'EINVAL', 'check the interface'],
  ] as const) {
    const error = bindError(errno);
    t.notOk(error instanceof UnderlayMissing, `${errno}`);
    mentions(t, error.message, 'UDP 192.0.2.1:53 cannot be bound', ...parts);
  }
});
