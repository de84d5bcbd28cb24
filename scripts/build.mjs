// The build: TypeScript with tsc, the checksum loops with AssemblyScript, the Kubernetes client bundled by esbuild, into
// dist/.
//
// Use: node scripts/build.mjs        always builds
//      buildIfChanged()              builds only when a source differs from what dist/ was built from

import { createHash } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { main, ROOT, run, say } from './run.mjs';

const SOURCES = ['src', 'lab', 'bench', 'test'];
const CONFIGURATION = ['tsconfig.json', 'package-lock.json', 'scripts/build.mjs'];
const STAMP = `${ROOT}dist/.built-from`;
const ASSEMBLY = 'src/dataplane/checksum/assembly/sum.ts';
const ASSEMBLY_FLAGS = [
  ...['-O3', '--enable', 'simd', '--importMemory', '--noAssert', '--runtime', 'stub'],
  ...['-o', 'dist/src/dataplane/checksum/sum.wasm'],
];
/** The module that re-exports what is used of the Kubernetes client: docs/decisions/0010-kubernetes-client.md. */
const LIBRARY = 'dist/src/control/leases/kubernetes/library.js';

/** Builds, whatever dist/ holds. */
export async function build() {
  const digest = digestOfSources();
  rmSync(STAMP, { force: true });
  await run([process.execPath, 'node_modules/typescript/bin/tsc', '-p', 'tsconfig.json']);
  if (existsSync(`${ROOT}${ASSEMBLY}`)) {
    await run([process.execPath, 'node_modules/assemblyscript/bin/asc.js', ASSEMBLY, ...ASSEMBLY_FLAGS]);
  }
  await bundleLibrary();
  removeOrphans();
  const cli = `${ROOT}dist/src/cli/weft.js`;
  if (existsSync(cli)) chmodSync(cli, 0o755);
  writeFileSync(STAMP, digest);
}

/** Builds if a source has changed since the last build that went through. */
export async function buildIfChanged() {
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === digestOfSources()) return;
  say('building');
  await build();
}

/** SHA-256 over names and contents: unlike times it survives git checkout and copies. */
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
  if (!existsSync(`${ROOT}${folder}`)) return [];
  return readdirSync(`${ROOT}${folder}`, { recursive: true })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name}`)
    .sort();
}

/** Replaces the compiled module by one with its packages in it, and writes their licences beside it. */
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
    // Packages in CommonJS among them ask for Node's own modules with require.
    banner: {
      js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);",
    },
    logLevel: 'warning',
    metafile: true,
  });
  rmSync(`${ROOT}${LIBRARY}.map`, { force: true });
  writeFileSync(`${ROOT}${LIBRARY}.LICENSES.txt`, licencesOf(Object.values(metafile.outputs)[0].inputs));
}

/** The licence texts of the packages that these files of node_modules belong to. */
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

/** Removes what an earlier build made of sources that are gone: a deleted test must not run on. */
function removeOrphans() {
  for (const folder of SOURCES) {
    if (!existsSync(`${ROOT}dist/${folder}`)) continue;
    for (const name of readdirSync(`${ROOT}dist/${folder}`, { recursive: true })) {
      const source = name.replace(/\.js(\.map)?$/, '.ts');
      if (source !== name && !existsSync(`${ROOT}${folder}/${source}`))
        rmSync(`${ROOT}dist/${folder}/${name}`);
    }
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main(build);
