// The system's side of the set-up: is this a machine Weft can run on, and are the commands there that a task needs.

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { onEnd } from './ending.mjs';
import { has, run, SetupError, say } from './run.mjs';

/** Command, or file with its path, → Debian package that brings it. */
const PACKAGES = {
  ip: 'iproute2',
  bridge: 'iproute2',
  ss: 'iproute2',
  ping: 'iputils-ping',
  iperf3: 'iperf3',
  ethtool: 'ethtool',
  unshare: 'util-linux',
  setpriv: 'util-linux',
  mount: 'mount',
  tcpdump: 'tcpdump',
  nft: 'nftables',
  iptables: 'iptables',
  sockperf: 'sockperf',
  'ovs-vswitchd': 'openvswitch-switch',
  etcd: 'etcd-server',
  openssl: 'openssl',
  '/usr/lib/cni/bridge': 'containernetworking-plugins',
};

const BASE = ['ip', 'bridge', 'ping', 'iperf3', 'ethtool', 'unshare', 'setpriv', 'mount'];

/** Commands per task. */
const COMMANDS = {
  demo: BASE,
  test: [...BASE, 'ss', 'tcpdump', 'nft', 'iptables', 'etcd', 'openssl', '/usr/lib/cni/bridge'],
  bench: [...BASE, 'ss', 'sockperf'],
  ovs: ['ovs-vswitchd'],
};

/** Checks what no package can bring. */
export function checkMachine({ network = true } = {}) {
  if (process.platform !== 'linux')
    throw new SetupError(`Weft runs on Linux, and this is ${process.platform}`);
  if (!['x64', 'arm64', 'riscv64', 'loong64'].includes(process.arch)) {
    throw new SetupError(
      `Weft needs a 64-bit Node, and this one is ${process.arch}: install a 64-bit system and Node`,
    );
  }
  if (Number(process.versions.node.split('.')[0]) < 20) {
    throw new SetupError(
      `Weft needs Node 20 or newer, and this is ${process.versions.node}: see nodejs.org/download`,
    );
  }
  if (!network) return;
  if (process.getuid?.() !== 0) {
    throw new SetupError(
      'this needs root (network namespaces, TAP devices): run it again with sudo or in a root shell',
    );
  }
  if (!existsSync('/dev/net/tun')) {
    throw new SetupError(
      'there is no /dev/net/tun: run `modprobe tun` (in a container: --device /dev/net/tun)',
    );
  }
}

/** Checks that root here may make namespaces: root in an ordinary container may not. */
export async function checkNamespaces() {
  try {
    await run(['unshare', '--net', '--mount', '--pid', '--fork', 'true']);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    throw new SetupError(
      'root may not create network namespaces here: use a machine, or a container with --privileged',
    );
  }
}

/** Installs the packages whose commands are missing; needs nothing and says nothing when all are there. */
export async function installMissing(tasks) {
  const commands = [...new Set(tasks.flatMap((task) => COMMANDS[task] ?? []))];
  const missing = commands.filter((command) => !isThere(command));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((command) => PACKAGES[command]))];
  const list = `missing: ${missing.join(', ')}. Install them, on Debian and Ubuntu: apt-get install ${packages.join(' ')}`;
  if (!has('apt-get')) throw new SetupError(list);
  say(`installing ${packages.join(', ')} with apt-get`);
  try {
    await aptGet(packages);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    throw new SetupError(`${list}\n(apt-get could not: ${error.message})`);
  }
  const still = missing.filter((command) => !isThere(command));
  if (still.length > 0)
    throw new SetupError(`apt-get went through, but these are still missing: ${still.join(', ')}`);
}

function isThere(command) {
  return command.startsWith('/') ? existsSync(command) : has(command);
}

async function aptGet(packages) {
  const env = { DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_MODE: 'l' };
  const install = [
    'apt-get',
    'install',
    '-y',
    '--no-install-recommends',
    '-o',
    'DPkg::Lock::Timeout=120',
    ...packages,
  ];
  const allow = forbidServices();
  try {
    // Package lists may be there and fresh enough: only if installing fails are they fetched.
    try {
      await run(install, { env });
    } catch {
      await run(['apt-get', 'update', '-o', 'DPkg::Lock::Timeout=120'], { env });
      await run(install, { env });
    }
  } finally {
    allow();
  }
}

const POLICY = '/usr/sbin/policy-rc.d';
const OURS =
  '#!/bin/sh\n# Written by the set-up of Weft while it installs packages; safe to delete.\nexit 101\n';

/** Keeps packages from starting their services (iperf3, Open vSwitch, etcd) while they are installed. Returns what ends that. */
function forbidServices() {
  // One of ours is left from a set-up that was killed: take it over. Anybody else's stays, and decides.
  if (existsSync(POLICY) && readFileSync(POLICY, 'utf8') !== OURS) return () => undefined;
  writeFileSync(POLICY, OURS, { mode: 0o755 });
  const remove = () => rmSync(POLICY, { force: true });
  const release = onEnd(remove);
  return () => {
    release();
    remove();
  };
}
