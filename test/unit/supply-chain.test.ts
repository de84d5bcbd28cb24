import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';

/** dist/test/unit/supply-chain.test.js → repository */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

interface Entry {
  readonly version: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly dev?: boolean;
  readonly hasInstallScript?: boolean;
  readonly optionalDependencies?: Record<string, string>;
}

interface Manifest {
  readonly dependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
  readonly allowScripts: Record<string, boolean>;
}

interface Component {
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly hashes: { alg: string; content: string }[];
  readonly licenses: unknown[];
}

const manifest = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as Manifest;
const lock = JSON.parse(readFileSync(`${ROOT}package-lock.json`, 'utf8')) as {
  packages: Record<string, Entry>;
};
/** The locked packages, by folder. */
const locked = Object.entries(lock.packages).filter(([folder]) => folder !== '');

function nameOf(folder: string): string {
  return folder.slice(folder.lastIndexOf('node_modules/') + 'node_modules/'.length);
}

/** Returns the entry that Node.js would find from a folder, as its resolution climbs. */
function found(folder: string, name: string): Entry | undefined {
  for (let base = folder; ; base = base.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, '')) {
    const entry = lock.packages[`${base === '' ? '' : `${base}/`}node_modules/${name}`];
    if (entry !== undefined || base === '') return entry;
  }
}

t.test('package.json names exact versions, and package-lock.json has them', async (t) => {
  for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
    t.match(version, /^\d+\.\d+\.\d+$/, name);
    t.equal(found('', name)?.version, version, name);
  }
});

t.test('package-lock.json has a SHA-512 hash for each package, and names no registry', async (t) => {
  const bad = locked.filter(
    ([, { integrity, resolved, link }]) =>
      !/^sha512-[\w+/]{86}==$/.test(integrity ?? '') || resolved !== undefined || link === true,
  );
  t.same(bad, []);
});

t.test('package-lock.json has the optional packages of every platform', async (t) => {
  const wanted = locked.flatMap(([folder, { optionalDependencies = {} }]) =>
    Object.entries(optionalDependencies).map(([name, version]) => ({ folder, name, version })),
  );
  t.ok(wanted.some(({ name }) => name === '@koromix/koffi-linux-arm64'));
  t.same(
    wanted.filter(({ folder, name }) => found(folder, name) === undefined),
    [],
  );
});

t.test('no package runs a script at installation', async (t) => {
  const scripted = locked
    .filter(([, { hasInstallScript }]) => hasInstallScript)
    .map(([folder]) => nameOf(folder));
  t.same(manifest.allowScripts, Object.fromEntries(scripted.map((name) => [name, false])), 'npm 11');
  t.match(readFileSync(`${ROOT}.npmrc`, 'utf8'), /^ignore-scripts=true$/m, 'npm 10');
});

t.test('npm run sbom lists the packages of a node, with hash and licence', async (t) => {
  const { stdout } = await promisify(execFile)(process.execPath, [`${ROOT}scripts/sbom.mjs`], {
    env: { ...process.env, NODE_OPTIONS: '' },
    maxBuffer: 16 << 20,
  });
  const bom = JSON.parse(stdout) as {
    bomFormat: string;
    metadata: { component: { name: string } };
    components: Component[];
  };
  t.equal(bom.bomFormat, 'CycloneDX');
  t.equal(bom.metadata.component.name, 'weft');
  const listed = new Set(bom.components.map(({ purl }) => decodeURIComponent(purl)));
  const runtime = locked.filter(([, { dev }]) => dev !== true);
  const missing = runtime.filter(
    ([folder, { version }]) => !listed.has(`pkg:npm/${nameOf(folder)}@${version}`),
  );
  t.same(missing, [], 'every runtime package');
  const names = bom.components.map(({ name }) => name);
  t.ok(names.includes('@kubernetes/client-node'), 'the bundled client');
  for (const name of ['tap', 'typescript', 'esbuild']) t.notOk(names.includes(name), name);
  const incomplete = bom.components.filter(
    ({ hashes, licenses }) => hashes[0]?.alg !== 'SHA-512' || licenses.length === 0,
  );
  t.same(incomplete, []);
});
