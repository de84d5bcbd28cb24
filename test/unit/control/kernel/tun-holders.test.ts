import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { alreadyRuns, findWeftProcess, overlayHolders } from '../../../../src/control/kernel/tun-holders.js';

interface FakeProcess {
  command: string[];
  device?: string;
  netns?: string;
  environment?: string[];
}

/** Returns a /proc with these processes; the reader's own network namespace is net:[1]. */
function fakeProc(t: Test, processes: Record<number, FakeProcess>): string {
  const all = { self: { command: ['cat'] } as FakeProcess, ...processes };
  const content = ({ command, device, environment = [] }: FakeProcess) => ({
    ns: {},
    fd: {},
    fdinfo: { 7: device === undefined ? 'pos:\t0\n' : `pos:\t0\nflags:\t0104002\niff:\t${device}\n` },
    cmdline: command.map((word) => `${word}\0`).join(''),
    environ: environment.map((word) => `${word}\0`).join(''),
  });
  const root = t.testdir(Object.fromEntries(Object.entries(all).map(([pid, one]) => [pid, content(one)])));
  for (const [pid, { device, netns = 'net:[1]' }] of Object.entries(all)) {
    symlinkSync(netns, join(root, pid, 'ns', 'net'));
    symlinkSync('/srv', join(root, pid, 'cwd'));
    symlinkSync(device === undefined ? '/dev/null' : '/dev/net/tun', join(root, pid, 'fd', '7'));
  }
  return root;
}

const WEFT = ['/usr/bin/node', '/opt/weft/dist/src/cli/weft.js', 'run', '--ip-masq'];

t.test('overlayHolders finds the holders of overlay devices in its own network namespace', async (t) => {
  const proc = fakeProc(t, {
    11: { command: ['flanneld'], device: 'flannel0' },
    12: { command: WEFT, device: 'flannel-v6.7', netns: 'net:[2]' },
    13: { command: ['openvpn'], device: 'tun0' },
    14: { command: ['sleep'] },
  });
  t.same(overlayHolders(proc), [{ pid: 11, device: 'flannel0', command: ['flanneld'] }]);
});

t.test('findWeftProcess knows Weft by its command line, and its run directory', async (t) => {
  for (const [command, environment, runDir] of [
    [WEFT, [], '/run/weft'],
    [[...WEFT, '--run-dir', '/run/a', '--run-dir=/run/b'], ['FLANNELD_RUN_DIR=/run/c'], '/run/b'],
    [[...WEFT, '-run-dir', 'here'], [], '/srv/here'],
    [['node', '/usr/local/bin/weft', 'run'], ['FLANNELD_RUN_DIR=/run/c'], '/run/c'],
  ] as const) {
    const one = { command: [...command], environment: [...environment], device: 'flannel.1' };
    t.same(findWeftProcess('flannel.1', fakeProc(t, { 21: one })), { pid: 21, device: 'flannel.1', runDir });
  }
});

t.test('findWeftProcess ignores other devices and other programs', async (t) => {
  const proc = fakeProc(t, {
    31: { command: WEFT, device: 'flannel.2' },
    32: { command: ['flanneld', 'weft'], device: 'flannel.1' },
  });
  t.equal(findWeftProcess('flannel.1', proc), undefined);
  t.equal(findWeftProcess(undefined, proc)?.pid, 31);
});

t.test('alreadyRuns names process, run directory and remedy', async (t) => {
  t.equal(
    alreadyRuns({ pid: 7, runDir: '/run/weft' }),
    'Weft already runs here (pid 7, run directory /run/weft); stop it first: weft cleanup --run-dir /run/weft',
  );
  t.match(alreadyRuns({ runDir: '/run/weft' }), /here \(run directory/);
});
