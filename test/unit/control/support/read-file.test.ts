import { execFileSync } from 'node:child_process';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { mkdir, symlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readTextFile, SMALL_FILE, UnreadableFile } from '../../../../src/control/support/read-file.js';

/** Returns the message of the error of a read. */
async function failure(t: Test, path: string, limit?: number): Promise<string> {
  try {
    await readTextFile(path, limit);
  } catch (error) {
    t.ok(error instanceof UnreadableFile, String(error));
    return (error as Error).message;
  }
  t.fail(`${path} was read`);
  return '';
}

t.test('readTextFile reads a regular file behind the symbolic links of a projected volume', async (t) => {
  const dir = t.testdir({});
  await mkdir(join(dir, '..2026'));
  writeFileSync(join(dir, '..2026', 'token'), 'größer\n');
  await symlink('..2026', join(dir, '..data'));
  await symlink('..data/token', join(dir, 'token'));
  t.equal(await readTextFile(join(dir, 'token')), 'größer\n');
});

t.test('readTextFile reads a file of /proc, whose size is 0', async (t) => {
  t.match(await readTextFile('/proc/self/status'), /^Name:/);
});

t.test('readTextFile refuses what is no regular file without waiting for it', async (t) => {
  const dir = t.testdir({});
  const fifo = join(dir, 'fifo');
  execFileSync('mkfifo', [fifo]);
  symlinkSync('loop', join(dir, 'loop'));
  symlinkSync(fifo, join(dir, 'link'));
  // The path of a socket has at most 107 bytes.
  const short = mkdtempSync(join(tmpdir(), 'weft-'));
  t.teardown(() => rmSync(short, { recursive: true }));
  const server = createServer().listen(join(short, 'socket'));
  await new Promise((resolve) => server.once('listening', resolve));
  t.equal(await failure(t, fifo), 'this is a FIFO; name a file');
  t.equal(await failure(t, join(dir, 'link')), 'this is a FIFO; name a file');
  t.equal(await failure(t, join(short, 'socket')), 'this is a socket; name a file');
  t.equal(await failure(t, '/dev/zero'), 'this is a device; name a file');
  t.equal(await failure(t, dir), 'this is a directory; name a file');
  t.match(await failure(t, join(dir, 'loop')), 'form a loop');
  t.match(await failure(t, `${dir}/a\0b`), 'NUL');
  t.match(await failure(t, join(dir, 'none')), 'no such file');
  t.match(await failure(t, join(fifo, 'x')), 'ENOTDIR');
  await new Promise((resolve) => server.close(resolve));
});

t.test('readTextFile refuses a file beyond its limit, by size or by content', async (t) => {
  const path = join(t.testdir({ file: '' }), 'file');
  truncateSync(path, SMALL_FILE);
  t.equal((await readTextFile(path)).length, SMALL_FILE);
  truncateSync(path, SMALL_FILE + 1);
  t.match(await failure(t, path), 'the file is larger than 1 MiB');
  // Its size is 0.
  t.match(await failure(t, '/proc/self/environ', 0), 'larger');
});

t.test('UnreadableFile.isMissing is true only for a path without a file', async (t) => {
  const dir = t.testdir({});
  const errorOf = (path: string) => readTextFile(path).catch((error: UnreadableFile) => error);
  t.equal(((await errorOf(join(dir, 'none'))) as UnreadableFile).isMissing, true);
  t.equal(((await errorOf(dir)) as UnreadableFile).isMissing, false);
});

/** Modules that read files directly, and what: the kernel's files are never a FIFO, and have size 0. */
const DIRECT: Readonly<Record<string, string>> = {
  'control/doctor/rp-filter.ts': '/proc/sys',
  'control/firewall/legacy-tables.ts': '/proc/net/ip_tables_names',
  'control/firewall/loaded-modules.ts': '/proc/modules',
  'control/kernel/device.ts': '/sys/class/net',
  'control/kernel/sysctls.ts': '/proc/sys',
  'control/obstacles/forwarding.ts': '/proc/sys',
  'control/obstacles/router-advertisements.ts': '/proc/sys',
  'control/preflight.ts': '/proc/self/status',
  'control/privileges.ts': '/proc/<tid>/status',
  'control/support/log.ts': "the package's bundle/modules.json",
  'control/support/proc-files.ts': '/proc/<pid>, /lib/modules',
  'control/tun-node.ts': '/proc/self/mountinfo',
  'dataplane/checksum/checksum.ts': "the package's sum.wasm",
  'dataplane/io/overflows.ts': '/proc/net/dev',
  'dataplane/io/socket-drops.ts': '/proc/net/snmp',
  'dataplane/worker/worker-entry.ts': "the package's worker.js",
  'sys/bpf.ts': '/sys/devices/system/cpu/possible',
  'sys/pages.ts': '/proc/self/smaps',
  'version.ts': "the package's package.json",
};

t.test('no other module reads a file past readTextFile', async (t) => {
  // dist/test/unit/control/support → src
  const root = new URL('../../../../../src/', import.meta.url);
  const modules = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .filter((name) => /\breadFile(Sync)?\(|createReadStream/.test(readFileSync(new URL(name, root), 'utf8')));
  t.same(modules.sort(), Object.keys(DIRECT).sort());
});
