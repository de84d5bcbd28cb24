// The guests of `npm run vm:package`: Debian with systemd and apt, of either architecture, without the vxlan module.
//
//     node_modules/.cache/guests/package-<arch>/vmlinuz       the kernel
//                                               version       its release
//                                               modules.cpio  its modules, except vxlan
//                                               initrd.cpio   busybox and the modules: mounts the disk, starts systemd
//                                               root.ext4     the disk
//                                               made-by       this script, as it was when it made the disk
//
// No program of the guest runs on this machine: packages are unpacked, and dpkg's database is written, as if they had been
// installed. What their scripts would have set up, and the guest needs, makeRoot writes.

import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { privateApt } from './apt.mjs';
import { CACHE, makeKernel, pack } from './guest.mjs';
import { run, say } from './run.mjs';

const SUITE = 'bookworm';

/** What a node has before Weft: a small server system, as Raspberry Pi OS Lite is one. */
const PACKAGES =
  '?essential apt systemd-sysv udev iproute2 iptables iputils-ping kmod procps busybox-static'.split(' ');
const DISK_MIB = 1536;

/** The serial line on which the guest takes commands. */
export const LINE = '/dev/hvc0';

const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
modprobe -a virtio_pci virtio_blk virtio_net virtio_console ext4
until [ -b /dev/vda ]; do sleep 0.1; done
mount -t ext4 /dev/vda /new
for folder in proc sys dev; do mount --move /$folder /new/$folder; done
exec switch_root /new /sbin/init
`;

/** Reads a command in Base64, and writes the output in Base64 and the exit status. */
const READER = `#!/bin/sh
export HOME=/root NO_COLOR=1
exec 3<>${LINE}
stty raw -echo <&3
echo 'guest: ready' >/dev/console
while read -r line <&3; do
  echo "$line" | base64 -d >/run/command
  status=0
  sh /run/command </dev/null >/run/output 2>&1 || status=$?
  base64 </run/output >&3
  echo "= $status" >&3
done
`;

const UNIT = `[Service]
ExecStart=/usr/local/sbin/lab-line
[Install]
WantedBy=multi-user.target
`;

/** Files that the scripts of the packages would have written, or that make the system a guest. */
const FILES = {
  'etc/hostname': 'guest\n',
  'etc/hosts': '127.0.0.1 localhost guest\n',
  'etc/fstab': '',
  // With one the boot is not the first, which would enable every service.
  'etc/machine-id': `${'77'.repeat(16)}\n`,
  'etc/apt/apt.conf.d/90lab': 'APT::Sandbox::User "root";\n',
  'etc/systemd/system/lab-line.service': UNIT,
  'usr/local/sbin/lab-line': READER,
  'var/lib/dpkg/available': '',
};

/** A guest has no terminal, and needs no updates. */
const MASKED = [
  ...['serial-getty@.service', 'getty@.service', 'getty-static.service'],
  ...['apt-daily.timer', 'apt-daily-upgrade.timer'],
];

/** Symbolic links, by path: those of update-alternatives, and units. */
const LINKS = {
  'usr/bin/awk': 'mawk',
  ...Object.fromEntries(
    ['iptables', 'ip6tables'].flatMap((name) =>
      ['', '-save', '-restore'].map((end) => [`usr/sbin/${name}${end}`, 'xtables-nft-multi']),
    ),
  ),
  'etc/systemd/system/multi-user.target.wants/lab-line.service': '/etc/systemd/system/lab-line.service',
  ...Object.fromEntries(MASKED.map((unit) => [`etc/systemd/system/${unit}`, '/dev/null'])),
};

/**
 * Returns the guest of an architecture, and makes it if it is missing.
 * @param {'amd64' | 'arm64'} arch
 * @returns {Promise<{ suite: string, arch: string, release: string, kernel: string, initrd: string, disk: string }>}
 */
export async function makePackageGuest(arch) {
  const folder = `${CACHE}/package-${arch}`;
  if (!existsSync(`${folder}/version`)) await makeKernel(SUITE, { arch, disk: true, folder });
  const stamp = `${folder}/made-by`;
  const script = readFileSync(fileURLToPath(import.meta.url), 'utf8');
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== script) {
    await makeRoot(arch, folder);
    writeFileSync(stamp, script);
  }
  const release = readFileSync(`${folder}/version`, 'utf8');
  const [kernel, initrd, disk] = ['vmlinuz', 'initrd.cpio', 'root.ext4'].map((name) => `${folder}/${name}`);
  return { suite: `${SUITE}-${arch}`, arch, release, kernel, initrd, disk };
}

async function makeRoot(arch, folder) {
  say(`unpacking Debian ${SUITE} for ${arch}`);
  const work = `${CACHE}/work`;
  const root = `${work}/root`;
  rmSync(work, { recursive: true, force: true });
  // Debian has merged these folders into /usr.
  for (const name of ['bin', 'sbin', 'lib', 'etc', 'var/lib/dpkg/info', 'var/lib/dpkg/updates'])
    mkdirSync(`${root}/${/^(bin|sbin|lib)$/.test(name) ? 'usr/' : ''}${name}`, { recursive: true });
  for (const name of ['bin', 'sbin', 'lib']) symlinkSync(`usr/${name}`, `${root}/${name}`);
  const apt = privateApt({ suites: [SUITE], arch, into: work });
  await apt('apt-get', 'update', '-qq');
  await apt('apt-get', 'install', '-qq', '-y', '--no-install-recommends', '--download-only', ...PACKAGES);
  const archives = `${work}/apt/archives`;
  const status = [];
  for (const name of readdirSync(archives)
    .filter((name) => name.endsWith('.deb'))
    .sort())
    status.push(await unpack(`${archives}/${name}`, root));
  writeFileSync(`${root}/var/lib/dpkg/status`, status.join('\n'));
  await addFiles(root, folder);
  await makeInitrd(`${work}/initrd`, root, folder);
  rmSync(`${root}/usr/share/locale`, { recursive: true, force: true });
  const image = `${folder}/root.ext4`;
  await run(['truncate', '-s', `${DISK_MIB}M`, `${image}.new`]);
  await run(['mke2fs', '-q', '-t', 'ext4', '-O', '^has_journal', '-m', '0', '-d', root, `${image}.new`]);
  await run(['mv', `${image}.new`, image]);
  rmSync(work, { recursive: true });
}

/** Unpacks a package, and returns its entry in dpkg's database. */
async function unpack(archive, root) {
  await run([
    'sh',
    '-c',
    `dpkg-deb --fsys-tarfile '${archive}' | tar -x --keep-directory-symlink -C '${root}'`,
  ]);
  const control = await run(['dpkg-deb', '-f', archive]);
  const field = (name) => new RegExp(`^${name}: (.*)$`, 'm').exec(control)?.[1] ?? '';
  const files = await run(['sh', '-c', `dpkg-deb --fsys-tarfile '${archive}' | tar -t`]);
  const list = files
    .trimEnd()
    .split('\n')
    .map((path) =>
      path
        .replace(/^\.(?=\/.)/, '')
        .replace(/(.)\/$/, '$1')
        .replace(/^\.\/$/, '/.'),
    );
  const suffix = field('Multi-Arch') === 'same' ? `:${field('Architecture')}` : '';
  writeFileSync(`${root}/var/lib/dpkg/info/${field('Package')}${suffix}.list`, `${list.join('\n')}\n`);
  return `${control.trimEnd().replace(/^(Package: .*)$/m, '$1\nStatus: install ok installed')}\n`;
}

async function addFiles(root, folder) {
  const base = `${root}/usr/share/base-passwd`;
  copyFileSync(`${base}/passwd.master`, `${root}/etc/passwd`);
  copyFileSync(`${base}/group.master`, `${root}/etc/group`);
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(dirname(`${root}/${path}`), { recursive: true });
    writeFileSync(`${root}/${path}`, text);
  }
  chmodSync(`${root}/usr/local/sbin/lab-line`, 0o755);
  for (const [path, target] of Object.entries(LINKS)) {
    mkdirSync(dirname(`${root}/${path}`), { recursive: true });
    rmSync(`${root}/${path}`, { force: true });
    symlinkSync(target, `${root}/${path}`);
  }
  // In the root `lib` is a link.
  await unpackModules(folder, `${root}/usr`);
}

/** Unpacks lib/modules of the guest below a folder. */
async function unpackModules(folder, into) {
  mkdirSync(into, { recursive: true });
  await run(['sh', '-c', `cd '${into}' && busybox cpio -i -d <'${folder}/modules.cpio' 2>/dev/null`]);
}

async function makeInitrd(tree, root, folder) {
  for (const name of ['bin', 'dev', 'proc', 'sys', 'new']) mkdirSync(`${tree}/${name}`, { recursive: true });
  cpSync(`${root}/usr/bin/busybox`, `${tree}/bin/busybox`);
  await unpackModules(folder, tree);
  writeFileSync(`${tree}/init`, INIT);
  chmodSync(`${tree}/init`, 0o755);
  // The kernel opens it for the first process, before anything is mounted.
  await run(['mknod', '-m', '600', `${tree}/dev/console`, 'c', '5', '1']);
  await pack(tree, `${folder}/initrd.cpio`);
}
