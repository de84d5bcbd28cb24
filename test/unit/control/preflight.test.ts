import t from 'tap';
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

t.test('checkPlatform refuses a 32-bit or big-endian machine by name with the remedy', async (t) => {
  for (const arch of ['arm', 'ia32', 'mips', 's390x', 'ppc64']) {
    const message = await refusal(t, () => checkPlatform('linux', arch), arch);
    mentions(t, message, `architecture ${arch} is not supported`, '64-bit', 'install a 64-bit');
  }
});
