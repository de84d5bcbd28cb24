import t, { type Test } from 'tap';
import type { FamilyTunnel } from '../../../../src/control/node/family-tunnel.js';
import type { ServiceManager } from '../../../../src/control/service-manager.js';
import { HandingOver } from '../../../../src/control/takeover/handing-over.js';
import { catchLog } from '../../../support/catch-log.js';
import { mentions, refusal as refused } from '../../../support/user-error.js';

function rig(t: Test, { notReady = null, refusal }: { notReady?: string | null; refusal?: Error } = {}) {
  const log = catchLog(t);
  const paths: string[] = [];
  const tunnel = {
    plan: { backend: { device: 'flannel.1' } },
    lifecycle: { notReady },
    dataplane: {
      handOver(path: string) {
        if (refusal !== undefined) throw refusal;
        paths.push(path);
      },
      takeBack() {
        paths.push('taken back');
      },
    },
  } as unknown as FamilyTunnel;
  const repairs = { paused: false };
  const told: string[] = [];
  const manager = {
    reloading: () => told.push('reloading'),
    ready: () => told.push('ready'),
  } as unknown as ServiceManager;
  const handingOver = new HandingOver('id', [tunnel], [repairs], manager);
  t.teardown(() => handingOver.end());
  return { log, paths, repairs, told, handingOver };
}

t.test('HandingOver pauses repairs until the new process fails', async (t) => {
  const { log, paths, repairs, handingOver } = rig(t);
  handingOver.begin('/run/weft/next.sock');
  t.ok(repairs.paused);
  handingOver.resume('the new Weft failed');
  t.strictSame(paths, ['/run/weft/next.sock', 'taken back']);
  t.notOk(repairs.paused);
  t.match(log.join('\n'), 'the takeover failed (the new Weft failed); this Weft stays in charge');
});

t.test('HandingOver tells the service manager that a takeover begins and fails', async (t) => {
  const { told, handingOver } = rig(t);
  handingOver.begin('/run/weft/next.sock');
  t.strictSame(told, ['reloading']);
  handingOver.resume('the new Weft failed');
  t.strictSame(told, ['reloading', 'ready']);
});

t.test('HandingOver ignores a failure after its end', async (t) => {
  const { log, repairs, handingOver } = rig(t);
  handingOver.begin('/run/weft/next.sock');
  handingOver.end();
  handingOver.resume('late');
  t.ok(repairs.paused, 'the new process repairs');
  t.notMatch(log.join('\n'), 'failed');
});

t.test('HandingOver refuses while a device is recreated, and keeps repairing', async (t) => {
  const { repairs, handingOver } = rig(t, { notReady: 'flannel.1 is gone' });
  const begin = () => handingOver.begin('/run/weft/next.sock');
  mentions(t, await refused(t, begin), 'flannel.1 is being recreated');
  t.notOk(repairs.paused);
});

t.test('HandingOver goes on if the dataplane cannot be sent', async (t) => {
  const { repairs, handingOver } = rig(t, { refusal: new Error('sendmsg: ECONNREFUSED') });
  const begin = () => handingOver.begin('/run/weft/next.sock');
  mentions(t, await refused(t, begin), 'ECONNREFUSED');
  t.notOk(repairs.paused);
});
