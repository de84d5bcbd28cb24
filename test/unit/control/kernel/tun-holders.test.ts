import t from 'tap';
import { alreadyRuns, findWeftProcess, weftProcesses } from '../../../../src/control/kernel/tun-holders.js';
import { fakeProc, WEFT } from '../../../support/fake-proc.js';

t.test('weftProcesses finds holders of overlay devices in its own network namespace', async (t) => {
  const proc = fakeProc(t, {
    11: { command: WEFT, device: 'flannel0' },
    12: { command: WEFT, device: 'flannel-v6.7', netns: 'net:[2]' },
    13: { command: WEFT, device: 'tun0' },
    14: { command: WEFT },
    15: { command: ['flanneld'], device: 'flannel0' },
  });
  t.same(weftProcesses(proc), [{ pid: 11, device: 'flannel0', runDir: '/run/weft' }]);
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
    'Weft already runs here (pid 7, run directory /run/weft); start with --takeover to replace it, or stop it first: weft cleanup --run-dir /run/weft',
  );
  t.match(alreadyRuns({ runDir: '/run/weft' }), /here \(run directory/);
});
