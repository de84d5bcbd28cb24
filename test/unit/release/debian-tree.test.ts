import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { elfFile, MACHINES } from '../../support/elf-file.js';

const { debianTree, readList } = await import(
  new URL('../../../../scripts/release/debian-tree.mjs', import.meta.url).href
);

const LIB = '/usr/lib/x86_64-linux-gnu';
const LOADER = '/lib64/ld-linux-x86-64.so.2';

interface Package {
  readonly name: string;
  readonly version: string;
  readonly control: string;
  readonly root: string;
}

/** Writes packages: a file by its content, a link by `-> target`. Each gets a licence. */
function packagesIn(packages: Record<string, Record<string, string | Buffer>>): Package[] {
  const dir = mkdtempSync(join(tmpdir(), 'packages-'));
  return Object.entries(packages).map(([name, files]) => {
    const root = `${dir}/${name}`;
    for (const [path, content] of Object.entries({ [`/usr/share/doc/${name}/copyright`]: '', ...files })) {
      mkdirSync(dirname(root + path), { recursive: true });
      const [, target] = /^-> (.*)$/.exec(String(content)) ?? [];
      if (target === undefined) writeFileSync(root + path, content);
      else symlinkSync(target, root + path);
    }
    return { name, version: '1', control: `Package: ${name}\n`, root };
  });
}

const LIBC = {
  '/lib/x86_64-linux-gnu/libc.so.6': elfFile({ needed: ['ld-linux-x86-64.so.2'] }),
  '/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2': elfFile({}),
  [LOADER]: '-> /lib/x86_64-linux-gnu/ld-linux-x86-64.so.2',
  '/lib/x86_64-linux-gnu/libunused.so.1': elfFile({}),
};

t.test('the image gets the listed files, and the libraries that programs need', async (t) => {
  const packages = packagesIn({
    tool: {
      '/bin/tool': elfFile({ interpreter: LOADER, needed: ['libtool.so.1'] }),
      '/bin/other': 'not listed',
    },
    libtool1: {
      [`${LIB}/libtool.so.1`]: '-> libtool.so.1.2',
      [`${LIB}/libtool.so.1.2`]: elfFile({ needed: ['libc.so.6'] }),
    },
    libc6: LIBC,
  });
  const list = readList('tool /usr/bin/to*\nlibtool1 # a comment\n\nlibc6\n');
  const tree = debianTree(packages, list, 'amd64', []);
  const under = (folder: string) =>
    [...tree.entries.keys()].filter((path: string) => path.startsWith(folder) && path !== folder).sort();
  t.strictSame(under('/usr/bin/'), ['/usr/bin/tool']);
  t.strictSame(under(`${LIB}/`), [
    `${LIB}/ld-linux-x86-64.so.2`,
    `${LIB}/libc.so.6`,
    `${LIB}/libtool.so.1`,
    `${LIB}/libtool.so.1.2`,
  ]);
  t.equal(tree.entries.get(`/usr${LOADER}`).target, `${LOADER.replace('64/', '/x86_64-linux-gnu/')}`);
  t.equal(tree.entries.get('/lib64').target, 'usr/lib64');
  t.strictSame(under('/var/lib/dpkg/status.d/'), [
    '/var/lib/dpkg/status.d/libc6',
    '/var/lib/dpkg/status.d/libtool1',
    '/var/lib/dpkg/status.d/tool',
  ]);
  t.equal(tree.entries.get('/tmp').mode, 0o1777);
});

t.test('the image gets the libraries of programs that are in other layers', async (t) => {
  const tree = debianTree(packagesIn({ libc6: LIBC }), readList('libc6'), 'amd64', [
    elfFile({ needed: ['libc.so.6'] }),
  ]);
  t.ok(tree.entries.has(`${LIB}/libc.so.6`));
});

t.test('iptables without a suffix is the back end nf_tables', async (t) => {
  const packages = packagesIn({
    iptables: {
      '/usr/sbin/iptables-nft': '',
      '/usr/sbin/ip6tables-nft-restore': '',
      '/usr/sbin/iptables-legacy': '',
    },
  });
  const tree = debianTree(packages, readList('iptables /usr/sbin/*'), 'amd64', []);
  t.equal(tree.entries.get('/usr/sbin/iptables').target, 'iptables-nft');
  t.equal(tree.entries.get('/usr/sbin/ip6tables-restore').target, 'ip6tables-nft-restore');
});

t.test('packages of one source share the folder of their licence by a link', async (t) => {
  const packages = packagesIn({ base: { '/etc/base': '' } });
  const [extra] = packagesIn({ extra: { '/etc/extra': '' } }) as [Package];
  rmSync(`${extra.root}/usr/share/doc/extra`, { recursive: true });
  symlinkSync('base', `${extra.root}/usr/share/doc/extra`);
  const list = readList('base /etc/base\nextra /etc/extra');
  const tree = debianTree([...packages, extra], list, 'amd64', []);
  t.equal(tree.entries.get('/usr/share/doc/extra').target, 'base');
  t.ok(tree.entries.has('/usr/share/doc/base/copyright'));
});

t.test('a list that does not fit the packages is refused:', async (t) => {
  const tool = { '/bin/tool': elfFile({ needed: ['libnone.so.1'] }) };
  await t.test('no package has a library', async (t) => {
    const packages = packagesIn({ tool });
    t.throws(
      () => debianTree(packages, readList('tool /usr/bin/tool'), 'amd64', []),
      /\/usr\/bin\/tool needs .*\/libnone\.so\.1, and no package of deploy\/image\/files\.txt has it/,
    );
  });
  await t.test('no file matches', async (t) => {
    const packages = packagesIn({ tool });
    t.throws(
      () => debianTree(packages, readList('tool /usr/bin/x*'), 'amd64', []),
      /package tool has no file/,
    );
  });
  await t.test('nothing of a package is needed', async (t) => {
    t.throws(
      () => debianTree(packagesIn({ libc6: LIBC }), readList('libc6'), 'amd64', []),
      /the image takes no file of libc6: remove the line/,
    );
  });
  await t.test('a file is for another architecture', async (t) => {
    const packages = packagesIn({ tool: { '/bin/tool': elfFile({ machine: MACHINES.arm64 }) } });
    t.throws(
      () => debianTree(packages, readList('tool /usr/bin/tool'), 'amd64', []),
      /\/usr\/bin\/tool is for arm64, and the image is for amd64/,
    );
  });
});
