// The build: TypeScript by tsc, the checksum loops by AssemblyScript, the Kubernetes and the Prometheus client bundled by
// esbuild, into dist/.
//
// Use: node scripts/build.mjs        always builds
//      buildIfChanged()              builds if a source differs from what dist/ was built from

import { createHash } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { main, ROOT, run, say } from './run.mjs';

const SOURCES = ['src', 'lab', 'bench', 'test'];
const CONFIGURATION = ['tsconfig.json', 'package-lock.json', 'scripts/build.mjs'];
const STAMP = `${ROOT}dist/.built-from`;
const ASSEMBLY = 'src/dataplane/checksum/assembly/sum.ts';
const ASSEMBLY_FLAGS = '-O3 --enable simd --importMemory --noAssert --runtime stub -o'.split(' ');
const ASSEMBLY_OUT = 'dist/src/dataplane/checksum/sum.wasm';
/** The packages that dist/ contains, so that a node does not install them. */
export const BUNDLED = ['@kubernetes/client-node', 'prom-client', 'punycode'];
/** The modules that re-export these packages: docs/decisions/0010-kubernetes-client.md, 0022-metrics.md. */
const LIBRARIES = ['dist/src/control/leases/kubernetes/library.js', 'dist/src/control/metrics/library.js'];
/** The module of prom-client that Weft needs. Its index loads all: summaries, push gateway, OpenTelemetry. */
const REGISTRY = 'prom-client/lib/registry.js';
/** The folder of the chunks, below dist/src. */
const BUNDLE = 'bundle';

/** Builds everything. */
export async function build() {
  const digest = digestOfSources();
  // An output of a source that no longer exists must not run on.
  for (const path of ['.built-from', ...SOURCES])
    rmSync(`${ROOT}dist/${path}`, { recursive: true, force: true });
  await run([process.execPath, 'node_modules/typescript/bin/tsc', '-p', 'tsconfig.json']);
  const asc = 'node_modules/assemblyscript/bin/asc.js';
  await run([process.execPath, asc, ASSEMBLY, ...ASSEMBLY_FLAGS, ASSEMBLY_OUT]);
  for (const library of LIBRARIES) await bundleLibrary(library);
  await bundleProgram();
  chmodSync(`${ROOT}dist/src/cli/weft.js`, 0o755);
  writeFileSync(STAMP, digest);
}

/** Builds if a source has changed since the last build that succeeded. */
export async function buildIfChanged() {
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === digestOfSources()) return;
  say('building');
  await build();
}

/** Returns a SHA-256 over names and contents; times would change with git checkout and copies. */
function digestOfSources() {
  const hash = createHash('sha256');
  for (const path of [...SOURCES.flatMap(typescriptUnder), ...CONFIGURATION]) {
    hash
      .update(`${path}\0`)
      .update(readFileSync(`${ROOT}${path}`))
      .update('\0');
  }
  return hash.digest('hex');
}

function typescriptUnder(folder) {
  return readdirSync(`${ROOT}${folder}`, { recursive: true })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name}`)
    .sort();
}

/**
 * Replaces the entry points of the command and of the forwarding thread by bundles of Weft's own modules: Node.js needs
 * longer to find and link two hundred modules than to compile them. The modules stay beside them for the tests.
 */
async function bundleProgram() {
  const { build: bundle } = await import('esbuild');
  const common = {
    absWorkingDir: ROOT,
    outdir: 'dist/src',
    outbase: 'dist/src',
    allowOverwrite: true,
    bundle: true,
    packages: 'external',
    platform: 'node',
    target: 'node20',
    format: 'esm',
    sourcemap: true,
    logLevel: 'warning',
    metafile: true,
  };
  // Modules that a command loads on demand become chunks, so that they share the others' modules.
  const command = {
    entryPoints: ['dist/src/cli/main.js'],
    splitting: true,
    chunkNames: `${BUNDLE}/[name]-[hash]`,
    plugins: [keepPlaces('../')],
  };
  const thread = { entryPoints: ['dist/src/dataplane/worker/worker.js'], plugins: [keepPlaces('../../')] };
  const outputs = [];
  for (const options of [command, thread]) {
    const { metafile } = await bundle({ ...common, ...options });
    outputs.push(...Object.keys(metafile.outputs).filter((path) => path.endsWith('.js')));
  }
  writeFileSync(`${ROOT}dist/src/${BUNDLE}/modules.json`, JSON.stringify(modulesIn(outputs)));
}

/**
 * Lets each module find its files from its own place, and leaves each bundled library a module of its own. `base` is the
 * path from the bundles to dist/src.
 */
function keepPlaces(base) {
  return {
    name: 'keep-places',
    setup(build) {
      build.onResolve({ filter: /\/library\.js$/ }, ({ path, resolveDir }) => {
        const library = LIBRARIES.find((candidate) => join(resolveDir, path) === `${ROOT}${candidate}`);
        return library && { path: `${base}${library.slice('dist/src/'.length)}`, external: true };
      });
      build.onLoad({ filter: /\/dist\/src\/.*\.js$/ }, ({ path }) => {
        const text = readFileSync(path, 'utf8');
        if (!text.includes('import.meta.url')) return undefined;
        const own = `new URL('${base}${path.slice(`${ROOT}dist/src/`.length)}', import.meta.url)`;
        return { contents: text.replaceAll('import.meta.url', own) };
      });
    },
  };
}

/** Returns the lines at which the modules of each bundle begin; the log names modules. */
function modulesIn(bundles) {
  return Object.fromEntries(
    bundles.map((path) => {
      const lines = readFileSync(`${ROOT}${path}`, 'utf8').split('\n');
      const starts = lines.flatMap((line, index) => {
        const [, name] = /^\/\/ dist\/src\/(?:.*\/)?([^/]+\.js)$/.exec(line) ?? [];
        return name === undefined ? [] : [[index + 1, name]];
      });
      return [basename(path), starts];
    }),
  );
}

/** Replaces the index of prom-client by the module that Weft needs. */
const slimPrometheus = {
  name: 'slim-prometheus',
  setup(build) {
    build.onResolve({ filter: /^prom-client$/ }, () => ({ path: 'prom-client', namespace: 'slim' }));
    build.onLoad({ filter: /^prom-client$/, namespace: 'slim' }, () => ({
      contents: `export { default as Registry } from '${REGISTRY}';`,
      resolveDir: ROOT,
    }));
  },
};

/** Replaces a compiled module by a bundle with its packages, and writes their licences beside it. */
async function bundleLibrary(library) {
  const { build: bundle } = await import('esbuild');
  const { metafile } = await bundle({
    absWorkingDir: ROOT,
    entryPoints: [library],
    outfile: library,
    allowOverwrite: true,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    // Node.js 21 and newer warn of their own module of this name, which a package of the client requires.
    alias: { punycode: 'punycode/punycode.js' },
    // The bundled CommonJS packages require() Node's own modules.
    banner: {
      js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);",
    },
    plugins: [slimPrometheus],
    logLevel: 'warning',
    metafile: true,
  });
  rmSync(`${ROOT}${library}.map`, { force: true });
  writeFileSync(`${ROOT}${library}.LICENSES.txt`, licencesOf(Object.values(metafile.outputs)[0].inputs));
}

/** Returns the licence texts of the packages that these files belong to. */
function licencesOf(inputs) {
  const folders = Object.keys(inputs).map((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]);
  return [...new Set(folders)]
    .filter((folder) => folder !== undefined)
    .sort()
    .map((folder) => {
      const { name, version, license } = JSON.parse(readFileSync(`${ROOT}${folder}/package.json`, 'utf8'));
      const texts = readdirSync(`${ROOT}${folder}`)
        .filter((file) => /^(licen[cs]e|notice|copying)/i.test(file))
        .map((file) => readFileSync(`${ROOT}${folder}/${file}`, 'utf8').trim());
      return [`${name} ${version} (${license})`, ...texts].join('\n\n');
    })
    .join(`\n\n${'-'.repeat(80)}\n\n`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main(build);
