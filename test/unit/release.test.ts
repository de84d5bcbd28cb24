import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { variableOf } from '../../src/cli/environment.js';
import { FLANNEL_FLAGS, RUN_FLAGS } from '../../src/cli/flags.js';
import { parseFlags } from '../../src/cli/go-flags.js';

/** dist/test/unit/release.test.js → repository */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

interface Stage {
  builtFiles(): string[];
  isKept(path: string): boolean;
  runtimePackages(): Record<string, unknown>;
}

interface Control {
  controlFile(options: { arch: string; version: string; description: string; kibibytes: number }): string;
  debianChangelog(markdown: string, release: { version: string; seconds: number }): string;
  copyrightFile(licences: { name: string; text: string }[]): string;
  packagedUnit(unit: string): string;
}

/** Imports a script, for which TypeScript has no types. */
async function script<T>(name: string): Promise<T> {
  return (await import(`${ROOT}scripts/release/${name}.mjs`)) as T;
}

const stage = await script<Stage>('stage');
const control = await script<Control>('control');

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

t.test('a release has every module and file that its entry points load', async (t) => {
  const built = stage.builtFiles();
  for (const path of [
    'cli/weft.js',
    'cli/main.js',
    'dataplane/worker/worker.js',
    'dataplane/checksum/sum.wasm',
  ])
    t.ok(built.includes(`dist/src/${path}`), path);
  const missing = built
    .filter((path) => path.endsWith('.js') && !path.endsWith('/library.js'))
    .flatMap((path) =>
      [...read(path).matchAll(/(?:\bfrom|\bimport\(?)\s*["'](\.[^"']+)["']/g)]
        .map(([, target = '']) => normalize(join(dirname(path), target)))
        .filter((target) => !built.includes(target)),
    );
  t.same(missing, []);
  t.same(
    built.filter((path) => /\.(map|d\.ts)$|\/(test|bench|lab)\//.test(path)),
    [],
  );
});

t.test('a release has the main module and the licence of each dependency', async (t) => {
  const require = createRequire(join(ROOT, 'package.json'));
  for (const folder of Object.keys(stage.runtimePackages())) {
    if (!stage.isKept(`${folder}/package.json`)) {
      t.match(folder, /@types|undici-types/, `${folder} has types only`);
      continue;
    }
    const main = relative(ROOT, require.resolve(join(ROOT, folder)));
    t.ok(stage.isKept(main), main);
    const licence = ['LICENSE', 'LICENSE.md', 'LICENSE.txt'].find((name) =>
      existsSync(join(ROOT, folder, name)),
    );
    if (licence !== undefined) t.ok(stage.isKept(`${folder}/${licence}`), `${folder}/${licence}`);
  }
});

t.test('a release has no type, source map or page of a dependency', async (t) => {
  for (const path of ['index.d.ts', 'index.js.map', 'README.md', 'src/a.ts', 'lib/a.cc'])
    t.notOk(stage.isKept(`node_modules/koffi/${path}`), path);
});

t.test('the control file has each field of a binary package', async (t) => {
  const text = control.controlFile({
    arch: 'arm64',
    version: '1.2.3',
    description: 'Short words',
    kibibytes: 7,
  });
  for (const line of ['Package: weft', 'Version: 1.2.3', 'Architecture: arm64', 'Installed-Size: 7'])
    t.ok(text.split('\n').includes(line), line);
  t.match(text, /^Depends: .*\biproute2\b.*\bkmod\b.*\blibc6 \(>= 2\.28\)/m);
  const [, long = ''] = /^Description: .*\n([^]*)\n$/m.exec(text) ?? [];
  t.same(
    long.split('\n').filter((line) => !/^ (\.|\S.{0,77})$/.test(line)),
    [],
    'lines of the long description',
  );
});

t.test('the changelog of Debian has the changes of CHANGELOG.md that belong to the release', async (t) => {
  const [unreleased, old] = [
    '## [Unreleased]\n\n### Added\n\n- One\n  [two](x.md).\n- Three\n',
    '## [1.0.0]\n\n### Fixed\n\n- Four\n',
  ];
  const release = { version: '1.0.1', seconds: 0 };
  t.equal(
    control.debianChangelog(`# Changelog\n\n${unreleased}\n${old}`, release),
    'weft (1.0.1) unstable; urgency=medium\n\n  [ Added ]\n  * One two.\n  * Three\n\n' +
      ' -- Weft maintainers <weft@maintainers.invalid>  Thu, 01 Jan 1970 00:00:00 +0000\n',
  );
  const first = control.debianChangelog(`${unreleased}\n${old}`, { ...release, version: '1.0.0' });
  t.match(first, '  [ Fixed ]\n  * Four\n');
  t.notMatch(first, 'One');
});

t.test('the copyright file has every text, and refers to the Apache License that Debian has', async (t) => {
  const apache =
    'Apache License\n Version 2.0, January 2004\n long\nEND OF TERMS AND CONDITIONS\nCopyright A';
  const text = control.copyrightFile([
    { name: 'a', text: apache },
    { name: 'b', text: 'MIT' },
  ]);
  t.match(text, /common-licenses\/Apache-2\.0\nCopyright A\n[^]*\nb\n=+\n\nMIT\n/);
  t.notMatch(text, 'long');
});

t.test('the unit of the package runs the program of the package', async (t) => {
  const path = ['deploy/systemd/weft.service', 'deploy/weft.service'].find((path) =>
    existsSync(join(ROOT, path)),
  );
  const unit = control.packagedUnit(read(path ?? ''));
  t.match(unit, /^ExecStart=\/usr\/bin\/weft run \$WEFT_FLAGS$/m);
  t.throws(() => control.packagedUnit('[Service]\nExecStart=/opt/weft run\n'), /ExecStart/);
});

t.test('weft.conf names only variables and flags that exist', async (t) => {
  const known = new Set(['NODE_NAME', 'WEFT_FLAGS', ...Object.keys(FLANNEL_FLAGS).map(variableOf)]);
  const settings = [...read('deploy/debian/weft.conf').matchAll(/^#([A-Z_]+)=(.*)$/gm)];
  t.ok(settings.length > 5);
  for (const [, name = '', value = ''] of settings) {
    t.ok(known.has(name), name);
    if (name === 'WEFT_FLAGS') t.ok(parseFlags(value.split(' '), RUN_FLAGS).given.size > 0, value);
  }
  t.notMatch(read('deploy/debian/weft.conf'), /^[^#\n]/m, 'every setting is an example');
});

/** Runs prerm with commands that it finds instead of the system's: this machine may have a service of that name. */
function prerm(folder: string, action: string, weft: string): string {
  for (const [name, line] of Object.entries({ weft, systemctl: ':' })) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${line}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  return execFileSync('sh', [join(ROOT, 'deploy/debian/prerm'), action], {
    env: { PATH: `${folder}:${process.env.PATH}` },
    stdio: ['ignore', 'pipe', 'ignore'],
  }).toString();
}

t.test('prerm runs weft cleanup at a removal only, and its failure does not stop the removal', async (t) => {
  const failing = 'echo "weft $*"; exit 1';
  t.equal(prerm(t.testdir(), 'upgrade', failing), '');
  t.match(prerm(t.testdir(), 'remove', failing), /^weft cleanup --run-dir \S+\n$/);
});

t.test('prerm leaves a Weft alone that is not the service', async (t) => {
  t.equal(prerm(t.testdir(), 'remove', 'echo "weft $*"; exit 0'), '');
});
