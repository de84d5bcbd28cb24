// The build: TypeScript by tsc, the checksum loops by AssemblyScript, the Kubernetes client bundled by esbuild, into
// dist/.
//
// Use: node scripts/build.mjs        always builds
//      buildIfChanged()              builds if a source differs from what dist/ was built from

import { createHash } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { main, ROOT, run, say } from './run.mjs';

const SOURCES = ['src', 'lab', 'bench', 'test'];
const CONFIGURATION = ['tsconfig.json', 'package-lock.json', 'scripts/build.mjs'];
const STAMP = `${ROOT}dist/.built-from`;
const ASSEMBLY = 'src/dataplane/checksum/assembly/sum.ts';
const ASSEMBLY_FLAGS = '-O3 --enable simd --importMemory --noAssert --runtime stub -o'.split(' ');
const ASSEMBLY_OUT = 'dist/src/dataplane/checksum/sum.wasm';
/** The packages that dist/ contains, so that a node does not install them. */
export const BUNDLED = ['@kubernetes/client-node'];
/** The module that re-exports the Kubernetes client: docs/decisions/0010-kubernetes-client.md. */
const LIBRARY = 'dist/src/control/leases/kubernetes/library.js';

/** Builds everything. */
export async function build() {
  const digest = digestOfSources();
  // An output of a source that no longer exists must not run on.
  for (const path of ['.built-from', ...SOURCES])
    rmSync(`${ROOT}dist/${path}`, { recursive: true, force: true });
  await run([process.execPath, 'node_modules/typescript/bin/tsc', '-p', 'tsconfig.json']);
  const asc = 'node_modules/assemblyscript/bin/asc.js';
  await run([process.execPath, asc, ASSEMBLY, ...ASSEMBLY_FLAGS, ASSEMBLY_OUT]);
  await bundleLibrary();
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

/** Replaces the compiled module by a bundle with its packages, and writes their licences beside it. */
async function bundleLibrary() {
  const { build: bundle } = await import('esbuild');
  const { metafile } = await bundle({
    absWorkingDir: ROOT,
    entryPoints: [LIBRARY],
    outfile: LIBRARY,
    allowOverwrite: true,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    // The bundled CommonJS packages require() Node's own modules.
    banner: {
      js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);",
    },
    logLevel: 'warning',
    metafile: true,
  });
  rmSync(`${ROOT}${LIBRARY}.map`, { force: true });
  writeFileSync(`${ROOT}${LIBRARY}.LICENSES.txt`, licencesOf(Object.values(metafile.outputs)[0].inputs));
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
