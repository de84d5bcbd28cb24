import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import t from 'tap';

const { Tree, writeLayer } = await import(
  new URL('../../../../scripts/release/tar.mjs', import.meta.url).href
);

const TIME = new Date(1_700_000_000_000);
const LONG = `/${'folder/'.repeat(20)}file`;

/** Each entry as a function that adds it. */
function additions(from: string): ((tree: InstanceType<typeof Tree>) => void)[] {
  return [
    (tree) => tree.file('/b/file', { data: 'text' }),
    (tree) => tree.file('/b/program', { from }, 0o755),
    (tree) => tree.symlink('/a', 'b'),
    (tree) => tree.directory('/tmp', 0o1777),
    (tree) => tree.file(LONG, { data: '' }),
  ];
}

t.test('a layer has the same digest whatever the order of its making', async (t) => {
  const dir = t.testdir({});
  writeFileSync(`${dir}/content`, Buffer.alloc(100_000, 'x'), { mode: 0o600 });
  const layers = [];
  for (const adds of [additions(`${dir}/content`), additions(`${dir}/content`).reverse()]) {
    const tree = new Tree();
    for (const add of adds) add(tree);
    layers.push(await writeLayer(tree, `${dir}/layer`, TIME, 6));
  }
  t.match(layers[0], { digest: /^sha256:[0-9a-f]{64}$/, diffId: /^sha256:[0-9a-f]{64}$/ });
  t.strictSame(layers[0], layers[1]);
});

t.test('a layer has sorted entries with one time, modes of their own, and root as the owner', async (t) => {
  const dir = t.testdir({ content: 'text' });
  const tree = new Tree();
  for (const add of additions(`${dir}/content`)) add(tree);
  await writeLayer(tree, `${dir}/layer`, TIME, 6);
  const list = execFileSync('tar', ['--utc', '--full-time', '--numeric-owner', '-tvzf', `${dir}/layer`], {
    encoding: 'utf8',
    env: { ...process.env, TZ: 'UTC' },
  });
  const lines = list.trimEnd().split('\n');
  const short = lines.map((line) => line.replace(/ +/g, ' ').replace(' 2023-11-14 22:13:20', ''));
  t.strictSame(
    short.filter((line) => !line.includes('folder')),
    [
      'lrwxrwxrwx 0/0 0 a -> b',
      'drwxr-xr-x 0/0 0 b/',
      '-rw-r--r-- 0/0 4 b/file',
      '-rwxr-xr-x 0/0 4 b/program',
      'drwxrwxrwt 0/0 0 tmp/',
    ].map((line) => line.replace(/\/$/, '')),
  );
  t.ok(
    short.some((line) => line.endsWith(LONG.slice(1))),
    'a path of more than 100 bytes',
  );
  t.ok(lines.every((line) => line.includes('2023-11-14 22:13:20')));
});

t.test('a tree refuses a file below a link', async (t) => {
  const tree = new Tree();
  tree.symlink('/lib', 'usr/lib');
  t.throws(() => tree.file('/lib/file', { data: '' }), /\/lib is a link, so nothing can be put below it/);
});
