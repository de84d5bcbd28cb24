// The system's part of the set-up: checks that Weft can run on this machine, and installs the commands that a task
// needs.

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { onEnd } from './ending.mjs';
import { has, run, SetupError, say } from './run.mjs';

/** The Debian package of each command, or of each file with its path. */
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
  tshark: 'tshark',
  tmux: 'tmux',
  nft: 'nftables',
  iptables: 'iptables',
  sockperf: 'sockperf',
  'ovs-vswitchd': 'openvswitch-switch',
  etcd: 'etcd-server',
  openssl: 'openssl',
  prometheus: 'prometheus',
  promtool: 'prometheus',
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-system-aarch64': 'qemu-system-arm',
  mke2fs: 'e2fsprogs',
  busybox: 'busybox-static',
  depmod: 'kmod',
  modprobe: 'kmod',
  'dpkg-deb': 'dpkg',
  lintian: 'lintian',
  'x86_64-linux-gnu-strip': 'binutils-x86-64-linux-gnu',
  'aarch64-linux-gnu-strip': 'binutils-aarch64-linux-gnu',
  '/usr/share/keyrings/debian-archive-keyring.gpg': 'debian-archive-keyring',
  '/usr/lib/cni/bridge': 'containernetworking-plugins',
  crun: 'crun',
  skopeo: 'skopeo',
  umoci: 'umoci',
};

const BASE = ['ip', 'bridge', 'ping', 'iperf3', 'ethtool', 'unshare', 'setpriv', 'mount'];

/** What makes a guest from Debian's packages. */
const GUEST = ['busybox', 'depmod', 'modprobe', '/usr/share/keyrings/debian-archive-keyring.gpg'];

/** The commands of each task. */
const COMMANDS = {
  demo: BASE,
  test: [
    ...BASE,
    'ss',
    'tcpdump',
    'tshark',
    'tmux',
    'nft',
    'iptables',
    'etcd',
    'openssl',
    'prometheus',
    'promtool',
    '/usr/lib/cni/bridge',
  ],
  bench: [...BASE, 'ss', 'sockperf'],
  ovs: ['ovs-vswitchd'],
  release: ['dpkg-deb', 'lintian', 'x86_64-linux-gnu-strip', 'aarch64-linux-gnu-strip'],
  vm: [...BASE, 'nft', 'qemu-system-x86_64', ...GUEST],
  'vm-package': [...BASE, 'qemu-system-x86_64', 'qemu-system-aarch64', 'dpkg-deb', 'mke2fs', ...GUEST],
  image: [
    'dpkg-deb',
    'x86_64-linux-gnu-strip',
    'aarch64-linux-gnu-strip',
    '/usr/share/keyrings/debian-archive-keyring.gpg',
  ],
  'image-test': ['crun'],
  'image-check': ['skopeo', 'umoci'],
};

/** Checks what no package can provide. */
export function checkMachine({ network = true } = {}) {
  if (process.platform !== 'linux')
    throw new SetupError(`Weft runs on Linux only, and this is ${process.platform}`);
  if (!['x64', 'arm64', 'riscv64', 'loong64'].includes(process.arch)) {
    throw new SetupError(
      `Weft needs a 64-bit Node, and this one is ${process.arch}: install a 64-bit system and Node`,
    );
  }
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 12)) {
    throw new SetupError(
      `Weft needs Node 20.12 or newer, and this is ${process.versions.node}: install it from nodejs.org/download`,
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
      '/dev/net/tun is missing: run `modprobe tun` (in a container: --device /dev/net/tun)',
    );
  }
}

/** Checks that root may create namespaces here: root in an ordinary container may not. */
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

/** Installs the packages of missing commands; does nothing if none is missing. */
export async function installMissing(tasks) {
  const commands = [...new Set(tasks.flatMap((task) => COMMANDS[task] ?? []))];
  const missing = commands.filter((command) => !isInstalled(command));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((command) => PACKAGES[command]))];
  const list = `missing: ${missing.join(', ')}. Install them, on Debian and Ubuntu: apt-get install ${packages.join(' ')}`;
  if (!has('apt-get')) throw new SetupError(list);
  say(`installing ${packages.join(', ')} with apt-get`);
  try {
    await aptGet(packages);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    // One line: apt-get's own errors begin with E.
    const [reason] = /^E: .*/m.exec(error.message) ?? error.message.split('\n', 1);
    throw new SetupError(`${list} (apt-get failed: ${reason})`);
  }
  const still = missing.filter((command) => !isInstalled(command));
  if (still.length > 0)
    throw new SetupError(`apt-get succeeded, but these commands are still missing: ${still.join(', ')}`);
}

function isInstalled(command) {
  return command.startsWith('/') ? existsSync(command) : has(command);
}

/** Waits for another apt-get to end. */
const LOCK = ['-o', 'DPkg::Lock::Timeout=120'];

async function aptGet(packages) {
  const env = { DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_MODE: 'l' };
  const install = ['apt-get', 'install', '-y', '--no-install-recommends', ...LOCK, ...packages];
  const allow = forbidServices();
  try {
    // The package lists are fetched only if they are missing or too old to install from.
    try {
      await run(install, { env });
    } catch {
      await run(['apt-get', 'update', ...LOCK], { env });
      await run(install, { env });
    }
  } finally {
    allow();
  }
}

const POLICY = '/usr/sbin/policy-rc.d';
const OURS =
  '#!/bin/sh\n# Written by the set-up of Weft while it installs packages; safe to delete.\nexit 101\n';

/**
 * Keeps packages from starting their services (iperf3, Open vSwitch, etcd) while they are installed.
 * Returns the function that allows it again.
 */
function forbidServices() {
  // A file of ours is left over from a killed set-up and is replaced. A file of another program stays in force.
  if (existsSync(POLICY) && readFileSync(POLICY, 'utf8') !== OURS) return () => undefined;
  writeFileSync(POLICY, OURS, { mode: 0o755 });
  const remove = () => rmSync(POLICY, { force: true });
  const release = onEnd(remove);
  return () => {
    release();
    remove();
  };
}
