/** The commands of deploy/systemd/weft.service under its restrictions, without systemd and its filter of system calls. */

import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { READY } from '../../../lab/dataplanes/weft.js';
import { sysctl } from '../../../lab/ip.js';
import type { LabNode } from '../../../lab/node.js';
import { LabProcess } from '../../../lab/process.js';
import { until } from '../../../lab/until.js';
import { WEFT_CLI } from '../../../lab/world.js';
import { makeBed, startWeft } from '../support/bed.js';
import { makePlace, type Place } from '../support/cli.js';
import { fastPathIs } from '../support/fast-path.js';
import { answered } from '../support/pings.js';
import { statusOf } from '../support/state.js';

const UNIT = readFileSync(
  fileURLToPath(new URL('../../../../deploy/systemd/weft.service', import.meta.url)),
  'utf8',
);

/** Returns the words of the last line of the unit that sets an option. */
function option(name: string): string[] {
  const [, value = ''] = [...UNIT.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].at(-1) ?? [];
  return value.split(' ').filter((word) => word !== '');
}

/** What setpriv calls capabilities of the unit. */
function capabilities(name: string): string {
  return ['-all', ...option(name).map((word) => word.replace('CAP_', '+').toLowerCase())].join();
}

/** ProtectSystem=strict, ReadWritePaths=/run, ProtectKernelModules. $1 is the directory of the test's own files. */
const MOUNTS = `own=$1; shift
mount -t tmpfs tmpfs /mnt && mkdir /mnt/own && mount --bind "$own" /mnt/own
while read -r _ _ _ _ path _; do
  case $path in /proc*|/sys*|/dev*|/run*|/mnt*) ;; *) mount -o remount,bind,ro "$path" ;; esac
done </proc/self/mountinfo
[ ! -d /lib/modules ] || mount -t tmpfs -o ro tmpfs "$(readlink -f /lib/modules)"
exec "$@"`;

/** Starts a command of the unit in a node. */
async function start(
  t: Test,
  node: LabNode,
  place: Place,
  name: 'ExecStart' | 'ExecReload',
): Promise<LabProcess> {
  const bin = `${node.dir}/bin`;
  await mkdir(bin, { recursive: true });
  await writeFile(`${bin}/weft`, `#!/bin/sh\nexec ${process.execPath} ${WEFT_CLI} "$@"\n`, { mode: 0o755 });
  const flags = [
    ...['--lease-file', place.leaseFile, '--net-config-path', place.netConfPath, '--iface', node.iface],
    ...['--subnet-file', place.subnetFile, '--run-dir', place.runDir, '--ip-masq'],
  ];
  const bounding = capabilities('CapabilityBoundingSet');
  const ambient = capabilities('AmbientCapabilities');
  const running = new LabProcess(
    [
      ...['unshare', '--mount', 'sh', '-ec', MOUNTS, 'sh', node.dir],
      ...['setpriv', `--bounding-set=${bounding}`, `--inh-caps=${ambient}`, `--ambient-caps=${ambient}`],
      ...['--no-new-privs', 'env', `PATH=${bin}:${process.env.PATH}`],
      ...option(name).flatMap((word) => (word === '$WEFT_FLAGS' ? flags : [word])),
    ],
    { netns: node.netns, name: `${name} on ${node.name}` },
  );
  t.teardown(async () => {
    await running.stop();
    if (!t.passing()) t.comment(`${running.name} logged:\n${running.tail(40)}`);
  });
  return running;
}

t.test('weft under the restrictions of its unit', async (t) => {
  const lab = await makeBed(t, { name: 'service' });
  const [node, other] = [lab.node(1), lab.node(2)];
  // New devices do not forward: Weft has to set the sysctl.
  await sysctl(node.netns, { 'net/ipv4/conf/default/forwarding': 0 });
  // kubelet's chain selects legacy iptables, which needs the most.
  await node.exec(['iptables-legacy', '-t', 'mangle', '-N', 'KUBE-KUBELET-CANARY']);
  const place = await makePlace(node);
  const service = await start(t, node, place, 'ExecStart');
  await Promise.all([service.waitFor(READY), startWeft(t, other)]);

  await t.test('forwards by the fast path', async (t) => {
    await fastPathIs(place, true);
    await answered(t, lab.pod(1), lab.pod(2).address);
    t.equal((await node.exec(['cat', '/proc/sys/net/ipv4/conf/flannel.1/forwarding'])).stdout.trim(), '1');
  });

  await t.test('has its firewall rules in legacy iptables', async (t) => {
    await until('the rules', async () =>
      (await node.exec(['iptables-legacy', '-t', 'nat', '-S'])).stdout.includes('MASQUERADE'),
    );
    t.pass();
  });

  await t.test('lacks no privilege, and drops all that it does not need', async (t) => {
    await until('it dropped', async () => (await statusOf(place)).privileges?.noNewPrivileges);
    t.match(await statusOf(place), {
      privileges: {
        capabilities: ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_PERFMON', 'CAP_BPF'],
        problems: [],
      },
    });
    t.notMatch(service.output, /not permitted|denied|cannot be set|EPERM|EACCES|EROFS|started without/i);
  });

  await t.test('is replaced by ExecReload', async (t) => {
    const { pid } = await statusOf(place);
    // The new process keeps the output of the command open, so the end of the command is not awaited.
    await start(t, node, place, 'ExecReload');
    t.equal((await service.exited).code, 0);
    // The old process ends a moment before the new one answers at the control socket.
    const next = await until('the new process answers', async () => {
      const status = await statusOf(place).catch(() => undefined);
      return status !== undefined && status.pid !== pid && status.pid;
    });
    t.teardown(() => process.kill(next, 'SIGTERM'));
    await answered(t, lab.pod(1), lab.pod(2).address);
  });
});

t.test('deploy/systemd/weft.service starts again however Weft ends', async (t) => {
  t.strictSame(option('Restart'), ['always']);
  t.strictSame(option('StartLimitIntervalSec'), ['0']);
  t.ok(
    option('After').includes('network-online.target') && option('Wants').includes('network-online.target'),
  );
  t.ok(Number(option('OOMScoreAdjust')) < 0);
});
