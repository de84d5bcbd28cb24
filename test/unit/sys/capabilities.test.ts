import { readFileSync } from 'node:fs';
import t from 'tap';
import { hasNoNewPrivileges, heldCapabilities, withCapabilities } from '../../../src/sys/capabilities.js';

function statusOf(field: string): string {
  const status = readFileSync('/proc/thread-self/status', 'utf8');
  return new RegExp(`^${field}:\\t(\\w+)$`, 'm').exec(status)?.[1] ?? '';
}

function bits(mask: string): number {
  return [...BigInt(`0x${mask}`).toString(2)].filter((bit) => bit === '1').length;
}

t.test('heldCapabilities has a name for each permitted capability of /proc/self/status', async (t) => {
  const held = heldCapabilities();
  const mask = BigInt(`0x${statusOf('CapPrm')}`);
  t.equal(held.length, bits(statusOf('CapPrm')));
  t.equal(held.includes('CAP_NET_ADMIN'), ((mask >> 12n) & 1n) === 1n);
  t.equal(held.includes('CAP_SYS_ADMIN'), ((mask >> 21n) & 1n) === 1n);
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
