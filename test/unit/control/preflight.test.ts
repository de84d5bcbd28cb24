import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import { mock } from 'node:test';
import t, { type Test } from 'tap';
import { checkPlatform } from '../../../src/control/preflight.js';
import { mentions, refusal } from '../../support/user-error.js';

t.test('checkPlatform accepts 64-bit little-endian Linux', async (t) => {
  for (const arch of ['x64', 'arm64', 'riscv64']) t.doesNotThrow(() => checkPlatform('linux', arch), arch);
});

t.test('checkPlatform refuses another system by name with the remedy', async (t) => {
  for (const platform of ['darwin', 'win32', 'freebsd', 'android']) {
    const message = await refusal(t, () => checkPlatform(platform, 'x64'), platform);
    mentions(t, message, `platform ${platform} is not supported`, 'needs Linux', 'run it on a Linux node');
  }
});

/** Makes os.machine() return a name until the test ends. */
function fakeKernel(t: Test, name: string): void {
  const spy = mock.method(os, 'machine', () => name);
  syncBuiltinESMExports();
  t.teardown(() => {
    spy.mock.restore();
    syncBuiltinESMExports();
  });
}

t.test('checkPlatform names the 32-bit userland of a 64-bit kernel', async (t) => {
  for (const [arch, kernel] of [
    ['arm', 'aarch64'],
    ['arm', 'armv8l'],
    ['ia32', 'x86_64'],
  ] as const) {
    await t.test(`${arch} on ${kernel}`, async (t) => {
      fakeKernel(t, kernel);
      const message = await refusal(t, () => checkPlatform('linux', arch));
      mentions(
        t,
        message,
        `Node.js is a 32-bit build (${arch}) on a 64-bit kernel (${kernel}): this system has a 32-bit userland`,
        'install a 64-bit system',
      );
      t.notMatch(message, /install a 64-bit kernel/);
    });
  }
});

t.test('checkPlatform names a 32-bit kernel', async (t) => {
  for (const [arch, kernel] of [
    ['arm', 'armv7l'],
    ['ia32', 'i686'],
    ['mipsel', 'mips'],
  ] as const) {
    await t.test(`${arch} on ${kernel}`, async (t) => {
      fakeKernel(t, kernel);
      const message = await refusal(t, () => checkPlatform('linux', arch));
      mentions(t, message, `Node.js and the kernel (${kernel}) are 32-bit`, 'install a 64-bit system');
    });
  }
});

t.test('checkPlatform refuses a big-endian processor and one without a library by name', async (t) => {
  fakeKernel(t, 's390x');
  const spy = mock.method(os, 'endianness', () => 'BE');
  syncBuiltinESMExports();
  for (const arch of ['s390x', 'arm64']) {
    const big = await refusal(t, () => checkPlatform('linux', arch), arch);
    mentions(t, big, `architecture ${arch} is not supported`, 'big-endian', 'run Weft on a node with x64');
  }
  spy.mock.restore();
  syncBuiltinESMExports();
  const unknown = await refusal(t, () => checkPlatform('linux', 'ppc64'));
  mentions(
    t,
    unknown,
    'architecture ppc64 is not supported',
    'has no build',
    'run Weft on a 64-bit node with x64',
  );
});
