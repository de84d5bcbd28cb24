// Runs deploy/systemd/weft.service with the systemd of this machine, as process 1 of namespaces of its own: start, reload,
// kill, stop, legacy iptables. Nothing of the host's services or network is touched.
//
// systemd needs control groups. The script makes one in each hierarchy, and removes it at the end.
//
// Use: npm run service    (as root; the last line says whether all steps passed)

import { execFile, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { onEnd } from './ending.mjs';
import { main, ROOT, SetupError } from './run.mjs';
import { setUp } from './setup.mjs';

const SYSTEMD = '/lib/systemd/systemd';
const UNIT = `${ROOT}deploy/systemd/weft.service`;
/** The highest exposure that docs/operations.md promises. */
const MOST_EXPOSURE = 3.1;
const READY_MS = 60_000;

/** What becomes systemd. $1 is the directory with units and configuration, $2 a list of control group mounts. */
const INIT = `set -e
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/dbus
mount -t sysfs sysfs /sys
echo "$2" | while read -r type options path; do
  [ "$path" = /sys/fs/cgroup ] || [ -d /sys/fs/cgroup/.made ] || {
    mount -t tmpfs tmpfs /sys/fs/cgroup; mkdir /sys/fs/cgroup/.made; }
  mkdir -p "$path"
  mount -t "$type" -o "$options" "$type" "$path"
done
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs tmpfs /etc/systemd/system
cp -r "$1/units/." /etc/systemd/system
ip link set lo up
ip link add eth0 type veth peer name eth1
ip address add 192.168.77.1/24 dev eth0
ip link set eth0 up
ip link set eth1 up
echo 1 >/proc/sys/net/ipv4/ip_forward
# New devices do not forward: Weft has to set the sysctl.
echo 0 >/proc/sys/net/ipv4/conf/default/forwarding
export container=weft-service
exec ${SYSTEMD} --system --unit=weft-test.target --log-target=console --show-status=no`;

/** Without the dependencies of a whole system, which these namespaces do not have. */
const DROP_IN = (dir) => `[Unit]
DefaultDependencies=no
[Service]
StandardError=append:${dir}/log
Environment=PATH=${dir}/bin:${process.env.PATH}
Environment="WEFT_FLAGS=--lease-file=${dir}/leases.json --net-config-path=${dir}/net-conf.json --iface=eth0 --ip-masq"
PrivateTmp=no
`;

await main(async () => {
  if (!existsSync(SYSTEMD)) throw new SetupError(`${SYSTEMD} is missing: install systemd`);
  await setUp(['test'], { network: true });
  const dir = mkdtempSync(join(tmpdir(), 'weft-service-'));
  const groups = makeGroups();
  let systemd;
  const end = async () => {
    if (systemd?.exitCode === null && systemd.signalCode === null) {
      systemd.kill('SIGKILL');
      await new Promise((resolve) => systemd.once('close', resolve));
    }
    await removeGroups(groups);
    rmSync(dir, { recursive: true, force: true });
  };
  const release = onEnd(end);
  try {
    writeFiles(dir);
    systemd = start(dir, groups);
    return await check(dir, systemd);
  } finally {
    release();
    await end();
  }
});

/** Makes a control group in each hierarchy. Returns their paths, with type and options of the mount. */
function makeGroups() {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, path, type]) => /^cgroup2?$/.test(type) && path.startsWith('/sys/fs/cgroup'))
    .filter(([, path]) => !/cpuset/.test(path))
    .map(([, mount, type, options]) => {
      const controllers = options.split(',').filter((word) => !/^(rw|ro|relatime|no.*)$/.test(word));
      const group = `${mount}/weft-service-${process.pid}`;
      mkdirSync(group);
      const named = controllers.some((word) => word.startsWith('name='));
      return { mount, type, group, options: [...(named ? ['none'] : []), ...controllers, 'rw'].join() };
    });
}

async function removeGroups(groups) {
  for (const { group } of groups) {
    const folders = [group];
    for (const folder of folders)
      folders.push(
        ...readdirSync(folder, { withFileTypes: true })
          .filter((entry) => entry.isDirectory())
          .map(({ name }) => join(folder, name)),
      );
    // A group is empty once the kernel has removed its last process.
    for (const folder of folders.reverse()) await retried(() => rmdirSync(folder));
  }
}

async function retried(step) {
  for (let attempt = 0; attempt < 50; attempt++) {
    try {
      return step();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function writeFiles(dir) {
  const write = (name, text, mode = 0o644) => writeFileSync(join(dir, name), text, { mode });
  for (const name of ['units/weft.service.d', 'bin']) mkdirSync(join(dir, name), { recursive: true });
  write('units/weft.service', readFileSync(UNIT, 'utf8'));
  write('units/weft.service.d/test.conf', DROP_IN(dir));
  write('units/weft-test.target', '[Unit]\nDefaultDependencies=no\nRequires=weft.service\n');
  write('bin/weft', `#!/bin/sh\nexec ${process.execPath} ${ROOT}dist/src/cli/weft.js "$@"\n`, 0o755);
  write('net-conf.json', '{ "Network": "10.244.0.0/16", "Backend": { "Type": "vxlan" } }\n');
  const leases = [1, 2].map((node) => ({ Subnet: `10.244.${node}.0/24`, PublicIP: `192.168.77.${node}` }));
  write('leases.json', JSON.stringify({ leases }));
}

/** Starts systemd in the control groups. Its own processes end with it. */
function start(dir, groups) {
  const mounts = groups.map(({ type, options, mount }) => `${type} ${options} ${mount}`).join('\n');
  const enter = groups.map(({ group }) => `echo $$ >'${group}/cgroup.procs'`).join('; ');
  const namespaces = ['--mount', '--pid', '--net', '--uts', '--ipc', '--cgroup', '--fork', '--kill-child'];
  return spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', 'sh', '-ec', `${enter}; exec "$@"`, 'sh'],
      ...['unshare', ...namespaces, 'sh', '-c', INIT, 'sh', dir, mounts],
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
}

/** Runs the steps, and prints a line for each. Returns the exit code. */
async function check(dir, systemd) {
  const inside = async (...argv) => {
    const pid = readFileSync(`/proc/${systemd.pid}/task/${systemd.pid}/children`, 'utf8').trim();
    const { stdout } = await promisify(execFile)('nsenter', [
      '-t',
      pid,
      '-m',
      '-p',
      '-n',
      '-u',
      '-i',
      ...argv,
    ]);
    return stdout.trim();
  };
  const property = async (name) => await inside('systemctl', 'show', 'weft', '-p', name, '--value');
  const state = async () => await property('ActiveState').catch(() => 'no systemd yet');
  const until = async (wanted) => {
    const deadline = Date.now() + READY_MS;
    while (!(await wanted())) {
      if (Date.now() > deadline || systemd.exitCode !== null)
        throw new SetupError(`weft.service: ${await state()}\n${readFileSync(`${dir}/log`, 'utf8')}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  };
  const active = async () => (await state()) === 'active';
  let failed = 0;
  const step = async (name, passes) => {
    const passed = await passes();
    if (!passed) failed++;
    console.log(`${passed ? 'ok  ' : 'FAIL'} ${name}`);
  };

  const analysis = await promisify(execFile)('systemd-analyze', ['security', '--offline=true', UNIT]);
  const exposure = Number(/exposure level for weft\.service: ([\d.]+)/.exec(analysis.stdout)?.[1]);
  await step(`its exposure is ${exposure}`, () => exposure <= MOST_EXPOSURE);
  await until(active);
  const first = await property('MainPID');
  await step('it is ready (sd_notify)', () => true);
  const forwarding = '/proc/sys/net/ipv4/conf/flannel.1/forwarding';
  await step('it sets sysctls', async () => (await inside('cat', forwarding)) === '1');
  const status = JSON.parse(await inside(`${dir}/bin/weft`, 'status', '--json'));
  await step('it has the fast path', () => status.offload.fastPath.on === true);
  await step('its links are pinned', async () => (await inside('ls', '/sys/fs/bpf')).includes('weft'));
  await inside('systemctl', 'reload', 'weft');
  const second = await property('MainPID');
  await step('a reload replaces the process', async () => second !== first && (await active()));
  await inside('kill', '-KILL', second);
  await until(async () => (await property('NRestarts')) === '1' && (await active()));
  await step('a killed process starts again', () => true);
  await inside('iptables-legacy', '-t', 'mangle', '-N', 'KUBE-KUBELET-CANARY');
  await inside('systemctl', 'restart', 'weft');
  const rules = async () => (await inside('iptables-legacy', '-t', 'nat', '-S')).includes('MASQUERADE');
  await step('it writes rules in legacy iptables', rules);
  await inside('systemctl', 'stop', 'weft');
  await step('it stops', async () => (await property('Result')) === 'success');
  const log = readFileSync(`${dir}/log`, 'utf8');
  await step(
    'its log names no missing right',
    () => !/denied|not permitted|EPERM|EROFS|without CAP/i.test(log),
  );
  if (failed > 0) console.log(log);
  console.log(`${failed === 0 ? 'all steps passed' : `${failed} steps failed`}`);
  return failed === 0 ? 0 : 1;
}
