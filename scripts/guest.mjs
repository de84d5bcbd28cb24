// The guests of `npm run vm`: kernels of Debian without the vxlan module, and an initial file system with Weft.
//
//     node_modules/.cache/guests/<suite>/vmlinuz       the kernel
//                                       version        its release, for example 6.1.0-50-cloud-amd64
//                                       modules.cpio   its network modules, except vxlan
//                                base.cpio             this machine's Node, ip, iperf3 …, and this folder's Weft
//
// The kernel gets modules.cpio and base.cpio, one behind the other, and unpacks both into memory. So a guest needs no
// disk, and nothing of it stays.

import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { privateApt } from './apt.mjs';
import { ROOT, run, SetupError, say } from './run.mjs';

/** Where guests are kept. */
export const CACHE = `${ROOT}node_modules/.cache/guests`;

/** Folders of lib/modules/<release>/kernel that a guest gets. Of drivers/net it gets the files, not the NICs below. */
const MODULES = ['arch', 'crypto', 'drivers/virtio', 'lib', 'net'];
const DRIVERS = 'drivers/net';
/** What a guest with a disk needs in addition. */
const DISK_MODULES = ['drivers/block', 'drivers/char', 'fs'];

/** Commands of this machine that a guest gets, with their libraries. The shell of busybox would prefer its own `ip`. */
const COMMANDS = ['sh', 'ip', 'iperf3', 'ethtool', 'nft', 'modprobe'];

/**
 * Process 1 of a guest, behind the line that names its shell. On the second serial line it reads a command in Base64, and
 * writes the output in Base64 and the exit status.
 */
const INIT = `
/bin/busybox --install -s /bin
export PATH=/usr/bin:/usr/sbin:/bin:/sbin HOME=/root NO_COLOR=1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /run /tmp /sys/fs/bpf
mount -t bpf bpf /sys/fs/bpf
/sbin/modprobe -a virtio_pci virtio_net tun
ip link set lo up
exec 3<>/dev/ttyS1
stty raw -echo <&3
echo 'guest: ready'
while read -r line <&3; do
  echo "$line" | base64 -d >/tmp/command
  status=0
  sh /tmp/command </dev/null >/tmp/output 2>&1 || status=$?
  base64 </tmp/output >&3
  echo "= $status" >&3
done
poweroff -f
`;

/**
 * Returns kernels and initial file systems, and makes what is missing.
 * @param {readonly string[]} suites Debian suites, for example bookworm or bullseye-security
 * @returns {Promise<{ suite: string, release: string, kernel: string, initrd: string }[]>}
 */
export async function makeGuests(suites) {
  if (process.arch !== 'x64')
    throw new SetupError(
      `the guests have this machine's Node, so they need x64, and this is ${process.arch}`,
    );
  for (const suite of suites) if (!existsSync(`${CACHE}/${suite}/version`)) await makeKernel(suite);
  const base = suites.length > 0 ? readFileSync(await makeBase()) : undefined;
  return suites.map((suite) => {
    const folder = `${CACHE}/${suite}`;
    const initrd = `${folder}/initrd.cpio`;
    writeFileSync(initrd, Buffer.concat([readFileSync(`${folder}/modules.cpio`), base]));
    const release = readFileSync(`${folder}/version`, 'utf8');
    return { suite, release, kernel: `${folder}/vmlinuz`, initrd };
  });
}

/**
 * Downloads the kernel package of a suite and takes out of it what a guest needs.
 * @param {string} suite
 * @param {{ arch?: string, disk?: boolean, folder?: string }} [options] disk: whether the guest has one
 */
export async function makeKernel(suite, options = {}) {
  const { arch = 'amd64', disk = false, folder = `${CACHE}/${suite}` } = options;
  const kernel = `linux-image-cloud-${arch}`;
  say(`downloading ${kernel} of Debian ${suite}`);
  const work = `${CACHE}/work`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(`${work}/tree`, { recursive: true });
  const apt = privateApt({ suites: [suite], arch, into: work });
  await apt('apt-get', 'update', '-qq');
  const depends = await apt('apt-cache', 'depends', kernel);
  const image = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (image === undefined) throw new SetupError(`Debian ${suite} has no ${kernel}`);
  // Since Linux 7 Debian has kernel and modules in packages that this one depends on.
  const parts = (await apt('apt-cache', 'depends', image)).matchAll(
    /Depends: (linux-(?:binary|modules)-\S+)/g,
  );
  const names = [image, ...[...parts].map(([, name]) => name)].join(' ');
  await apt(
    'sh',
    '-c',
    `cd '${work}' && apt-get download -qq ${names} && for p in *.deb; do dpkg-deb -x $p tree; done`,
  );
  const modules = firstExisting([`${work}/tree/lib/modules`, `${work}/tree/usr/lib/modules`]);
  const release = readdirSync(modules)[0];
  const from = `${modules}/${release}`;
  const to = `${work}/guest/lib/modules/${release}`;
  mkdirSync(`${to}/kernel/${DRIVERS}`, { recursive: true });
  for (const name of ['modules.builtin', 'modules.builtin.modinfo', 'modules.order'])
    if (existsSync(`${from}/${name}`)) copyFileSync(`${from}/${name}`, `${to}/${name}`);
  for (const name of [...MODULES, ...(disk ? DISK_MODULES : [])])
    if (existsSync(`${from}/kernel/${name}`))
      cpSync(`${from}/kernel/${name}`, `${to}/kernel/${name}`, { recursive: true });
  for (const name of readdirSync(`${from}/kernel/${DRIVERS}`))
    if (/\.ko(\.xz)?$/.test(name) && !name.startsWith('vxlan.ko'))
      copyFileSync(`${from}/kernel/${DRIVERS}/${name}`, `${to}/kernel/${DRIVERS}/${name}`);
  await run(['depmod', '-b', `${work}/guest`, release]);
  mkdirSync(folder, { recursive: true });
  await pack(`${work}/guest`, `${folder}/modules.cpio`);
  copyFileSync(
    firstExisting([`${work}/tree/boot/vmlinuz-${release}`, `${from}/vmlinuz`]),
    `${folder}/vmlinuz`,
  );
  writeFileSync(`${folder}/version`, release);
  rmSync(work, { recursive: true, force: true });
}

/** Returns the archive with everything but the modules, which is made anew: it takes a second, and Weft changes. */
async function makeBase() {
  const tree = `${CACHE}/base`;
  rmSync(tree, { recursive: true, force: true });
  for (const name of ['bin', 'sbin', 'proc', 'sys', 'dev', 'etc', 'root', 'weft/node_modules'])
    mkdirSync(`${tree}/${name}`, { recursive: true });
  copyFileSync(await pathOf('busybox'), `${tree}/bin/busybox`);
  for (const command of COMMANDS) await addProgram(tree, await pathOf(command));
  await addProgram(tree, process.execPath);
  symlinkSync(process.execPath, `${tree}/bin/node`);
  if (!existsSync(`${tree}/sbin/modprobe`)) symlinkSync(await pathOf('modprobe'), `${tree}/sbin/modprobe`);
  for (const path of ['package.json', 'dist/src', 'dist/test/netns/peer', ...productionPackages()])
    cpSync(`${ROOT}${path}`, `${tree}/weft/${path}`, { recursive: true });
  writeFileSync(`${tree}/etc/passwd`, 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(`${tree}/etc/group`, 'root:x:0:\n');
  writeFileSync(`${tree}/init`, `#!${await pathOf('sh')}${INIT}`);
  chmodSync(`${tree}/init`, 0o755);
  await pack(tree, `${CACHE}/base.cpio`);
  rmSync(tree, { recursive: true, force: true });
  return `${CACHE}/base.cpio`;
}

/** Copies a program and its libraries to the same paths. */
async function addProgram(tree, program) {
  const libraries = (await run(['ldd', program])).matchAll(/(?:=> |^\s*)(\/\S+)/gm);
  for (const path of [program, ...[...libraries].map(([, library]) => library)]) {
    mkdirSync(dirname(`${tree}${path}`), { recursive: true });
    copyFileSync(realpathSync(path), `${tree}${path}`);
  }
}

async function pathOf(command) {
  return (await run(['sh', '-c', `command -v ${command}`])).trim();
}

/** Returns the paths of the packages that a node gets. */
function productionPackages() {
  const { packages } = JSON.parse(readFileSync(`${ROOT}package-lock.json`, 'utf8'));
  return Object.entries(packages)
    .filter(
      ([path, { dev, devOptional }]) => path !== '' && !dev && !devOptional && existsSync(`${ROOT}${path}`),
    )
    .map(([path]) => path);
}

/** Packs a folder into an archive that the kernel reads. */
export async function pack(folder, archive) {
  await run(['sh', '-c', `cd '${folder}' && find . | busybox cpio -o -H newc >'${archive}.new' 2>/dev/null`]);
  renameSync(`${archive}.new`, archive);
}

function firstExisting(paths) {
  return paths.find((path) => existsSync(path)) ?? paths[0];
}
