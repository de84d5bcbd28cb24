import { readFileSync } from 'node:fs';
import t from 'tap';
import { capabilityNames, hasNoNewPrivileges, withCapabilities } from '../../../src/sys/capabilities.js';

function statusOf(field: string): string {
  const status = readFileSync('/proc/thread-self/status', 'utf8');
  return new RegExp(`^${field}:\\t(\\w+)$`, 'm').exec(status)?.[1] ?? '';
}

t.test('capabilityNames names the bits of linux/capability.h', async (t) => {
  t.same(capabilityNames(0n), []);
  t.same(capabilityNames(0x3001n), ['CAP_CHOWN', 'CAP_NET_ADMIN', 'CAP_NET_RAW']);
  t.same(capabilityNames(1n << 39n), ['CAP_BPF']);
  t.same(capabilityNames(1n << 41n), ['CAP_41'], 'one of a newer kernel');
});

t.test('hasNoNewPrivileges is what /proc/self/status says', async (t) => {
  t.equal(hasNoNewPrivileges(), statusOf('NoNewPrivs') === '1');
});

t.test('withCapabilities limits the effective set during the check, and restores it', async (t) => {
  const before = statusOf('CapEff');
  t.equal(
    withCapabilities([], () => statusOf('CapEff')),
    '0000000000000000',
  );
  t.equal(statusOf('CapEff'), before);
  t.throws(() => withCapabilities([], () => t.context.missing.value), TypeError);
  t.equal(statusOf('CapEff'), before, 'also after an exception');
});
