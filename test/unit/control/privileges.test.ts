import { chmodSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { type Duties, needsOf } from '../../../src/control/privileges.js';

const DUTIES: Duties = {
  port: 8472,
  legacyIptables: false,
  fastPath: false,
  readFiles: [],
  writtenDirectories: [],
};

function names(duties: Partial<Duties>): string[] {
  return needsOf({ ...DUTIES, ...duties }).map(({ capability }) => capability);
}

t.test('needsOf keeps CAP_NET_ADMIN alone for an ordinary run', async (t) => {
  const directory = t.testdir({ 'leases.json': '{}' });
  t.same(names({ readFiles: [`${directory}/leases.json`], writtenDirectories: [directory] }), [
    'CAP_NET_ADMIN',
  ]);
});

t.test('needsOf keeps CAP_NET_BIND_SERVICE for a port below 1024', async (t) => {
  t.same(names({ port: 1023 }), ['CAP_NET_ADMIN', 'CAP_NET_BIND_SERVICE']);
  t.same(names({ port: 1024 }), ['CAP_NET_ADMIN']);
});

t.test('needsOf keeps CAP_NET_RAW for legacy iptables', async (t) => {
  t.same(names({ legacyIptables: true }), ['CAP_NET_ADMIN', 'CAP_NET_RAW']);
});

t.test('needsOf keeps CAP_DAC_READ_SEARCH for a file that the user may not read', async (t) => {
  const path = `${t.testdir()}/leases.json`;
  writeFileSync(path, '{}');
  chmodSync(path, 0);
  t.same(names({ readFiles: [path] }), ['CAP_NET_ADMIN', 'CAP_DAC_READ_SEARCH']);
  t.same(names({ readFiles: [`${path}.missing`] }), ['CAP_NET_ADMIN'], 'a missing file needs none');
});

t.test('needsOf keeps CAP_DAC_OVERRIDE for a directory that the user may not write', async (t) => {
  const directory = t.testdir();
  chmodSync(directory, 0o500);
  t.same(names({ writtenDirectories: [directory] }), ['CAP_NET_ADMIN', 'CAP_DAC_OVERRIDE']);
  t.same(names({ writtenDirectories: [`${directory}/missing`] }), ['CAP_NET_ADMIN']);
});
