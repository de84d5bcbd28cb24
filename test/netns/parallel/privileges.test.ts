/** Weft needs few capabilities, and gives up the others after its set-up. */

import { readdirSync, readFileSync } from 'node:fs';
import { chmod, chown, mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { netConf, udpConf } from '../../../lab/leases.js';
import { until } from '../../../lab/until.js';
import { makeBed, startWeft } from '../support/bed.js';
import { makePlace, type Place, runFlags, startCommand } from '../support/cli.js';
import { answered } from '../support/pings.js';
import { statusOf } from '../support/state.js';

/** linux/capability.h */
const DAC_READ_SEARCH = 1n << 2n;
const NET_ADMIN = 1n << 12n;
/** CAP_PERFMON and CAP_BPF, for the fast path. */
const PROGRAMS = (1n << 38n) | (1n << 39n);
const USER = 65534;
const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));

/** The privileges of a thread in proc_pid_status(5). */
interface Privileges {
  readonly held: bigint[];
  readonly bounding: bigint;
  readonly noNewPrivileges: boolean;
}

function privilegesOf(task: string): Privileges {
  const status = readFileSync(`/proc/${task}/status`, 'utf8');
  const mask = (name: string) => BigInt(`0x${new RegExp(`^${name}:\\t(\\w+)$`, 'm').exec(status)?.[1]}`);
  return {
    held: ['CapPrm', 'CapEff', 'CapInh', 'CapAmb'].map(mask),
    bounding: mask('CapBnd'),
    noNewPrivileges: mask('NoNewPrivs') === 1n,
  };
}

function holding(mask: bigint, bounding = mask): Privileges {
  return { held: [mask, mask, mask, mask], bounding, noNewPrivileges: true };
}

/** Waits until Weft has given up what it does not need. */
async function reduced(place: { readonly runDir: string }): Promise<void> {
  await until('the privileges are dropped', async () => {
    const { privileges } = await statusOf(place);
    return privileges?.noNewPrivileges === true;
  });
}

/** Returns the privileges of `ip monitor`, which a process runs until its end. */
async function monitorOf(pid: number): Promise<Privileges> {
  const child = await until('ip monitor runs', () =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .split(' ')
      .find((id) => id !== '' && commandOf(id).startsWith('ip\0-oneline\0monitor')),
  );
  return privilegesOf(child);
}

/** Returns the command line of a process; it is empty once the process has ended. */
function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

/**
 * Returns a command that runs Weft as an ordinary user with these capabilities. The user may read the project's directory,
 * and /dev/net/tun has the mode that udev gives it.
 */
function asUser(...capabilities: string[]): string[] {
  const set = ['-all', ...capabilities.map((name) => `+${name}`)].join();
  const drop = `setpriv --reuid=${USER} --regid=${USER} --clear-groups --inh-caps=${set} --ambient-caps=${set} --bounding-set=${set}`;
  const line = `mount --bind '${ROOT}' /mnt && mount -t tmpfs tmpfs /dev/net &&
    mknod -m 666 /dev/net/tun c 10 200 &&
    node=$1 && shift 2 && exec ${drop} "$node" /mnt/dist/src/cli/weft.js "$@"`;
  return ['unshare', '--mount', 'sh', '-c', line, 'sh'];
}

/** Makes the directories in which an ordinary user's Weft writes. */
async function handOver(place: Place): Promise<void> {
  for (const path of [place.runDir, place.subnetFile.replace(/\/[^/]*$/, '')]) {
    await mkdir(path, { recursive: true });
    await chown(path, USER, USER);
  }
}

t.test('weft run as root keeps CAP_NET_ADMIN, and what the fast path needs', async (t) => {
  const lab = await makeBed(t, { name: 'rootcaps' });
  const [weft] = await Promise.all([
    startWeft(t, lab.node(1), { flags: ['--workers', '2'] }),
    startWeft(t, lab.node(2)),
  ]);
  await reduced(weft);
  const { pid } = weft.process;
  const all = readdirSync(`/proc/${pid}/task`).map((task) => privilegesOf(`${pid}/task/${task}`));

  t.strictSame(privilegesOf(`${pid}`), holding(NET_ADMIN | PROGRAMS), 'the main thread');
  const none = all.filter(
    ({ held, noNewPrivileges }) => noNewPrivileges && held.every((mask) => mask === 0n),
  );
  t.equal(none.length, 2, 'forwarding threads without any capability');
  t.strictSame(await monitorOf(pid), holding(NET_ADMIN | PROGRAMS), 'ip monitor');

  const { privileges } = await statusOf(weft);
  const more = all.filter(({ held }) => ((held[0] ?? 0n) & ~(NET_ADMIN | PROGRAMS)) !== 0n);
  t.strictSame(privileges, {
    capabilities: ['CAP_NET_ADMIN', 'CAP_PERFMON', 'CAP_BPF'],
    noNewPrivileges: true,
    threadsWithMore: more.length,
    problems: [],
  });
  t.match(
    await weft.statusText(),
    /^ {2}privileges +CAP_NET_ADMIN CAP_PERFMON CAP_BPF, no new privileges\n {14}\d+ threads of Node.js itself keep more$/m,
  );
  await answered(t, lab.pod(1), lab.pod(2).address, 'pods reach each other');
  await weft.end();
});

t.test('weft run repairs device and rules after it has dropped its privileges', async (t) => {
  const lab = await makeBed(t, { name: 'dropped' });
  const [weft] = await Promise.all([startWeft(t, lab.node(1)), startWeft(t, lab.node(2))]);
  await reduced(weft);
  await lab.node(1).exec(['ip', 'link', 'delete', 'flannel.1']);
  await until('the device is back', async () => (await statusOf(weft)).notReady === null);
  await answered(t, lab.pod(1), lab.pod(2).address, 'pods reach each other');
});

t.test('weft run keeps CAP_DAC_READ_SEARCH for a lease file of another user', async (t) => {
  const lab = await makeBed(t, { name: 'foreignfile' });
  const node = lab.node(1);
  const place = await makePlace(node);
  await chown(place.leaseFile, USER, USER);
  await chmod(place.leaseFile, 0o600);
  const weft = startCommand(t, node, runFlags(place, node.iface));
  await weft.waitFor(
    /keeps CAP_NET_ADMIN \(.*\), CAP_BPF .*, CAP_DAC_READ_SEARCH \(file .*leases\.json of another user\)/,
  );
  t.strictSame(privilegesOf(`${weft.pid}`), holding(NET_ADMIN | PROGRAMS | DAC_READ_SEARCH));
});

t.test('weft run without CAP_SETPCAP reports what it cannot drop', async (t) => {
  const lab = await makeBed(t, { name: 'setpcap', nodes: 1 });
  const node = lab.node(1);
  const place = await makePlace(node);
  const weft = startCommand(t, node, runFlags(place, node.iface), {
    under: ['setpriv', '--inh-caps=-setpcap', '--bounding-set=-setpcap'],
  });
  await weft.waitFor(/not every privilege was dropped: bounding set: EPERM/);
  const { privileges } = await statusOf(place);
  t.match(privileges, {
    capabilities: ['CAP_NET_ADMIN', 'CAP_PERFMON', 'CAP_BPF'],
    noNewPrivileges: true,
    problems: ['bounding set: EPERM', 'CAP_SETPCAP is missing'],
  });
  // no_new_privs keeps the bounding set from a child of root.
  await weft.waitFor(/\] ready: /);
  t.strictSame((await monitorOf(weft.pid)).held, holding(NET_ADMIN | PROGRAMS).held);
});

for (const backend of ['vxlan', 'udp'] as const) {
  await t.test(`weft run forwards ${backend} as an ordinary user with CAP_NET_ADMIN alone`, async (t) => {
    const lab = await makeBed(t, { name: `user${backend}`, overhead: backend === 'udp' ? 28 : 50 });
    const conf = backend === 'udp' ? udpConf() : netConf();
    const wefts = await Promise.all(
      lab.nodes.map(async (node) => {
        const leases = lab.nodes.map((other) => ({ ...other.lease(), BackendType: backend }));
        const place = await makePlace(node, { netConf: conf, leases });
        await handOver(place);
        const weft = startCommand(t, node, runFlags(place, node.iface, '--ip-masq'), {
          under: asUser('net_admin'),
        });
        await weft.waitFor(/\] ready: /);
        await reduced(place);
        return { weft, place };
      }),
    );
    await answered(t, lab.pod(1), lab.pod(2).address, 'pods reach each other');
    await until('the rules are there', async () => {
      const { stdout } = await lab.node(1).exec(['iptables', '--table', 'nat', '--list-rules']);
      return stdout.includes('-j MASQUERADE');
    });
    for (const { weft, place } of wefts) {
      t.match(privilegesOf(`${weft.pid}`), { held: holding(NET_ADMIN).held, noNewPrivileges: true });
      t.match(await statusOf(place), { notReady: null, privileges: { capabilities: ['CAP_NET_ADMIN'] } });
      t.notMatch(weft.output, /not permitted|denied|cannot be set|EPERM|EACCES/i);
    }
  });
}
