// `npm run release [-- flags]`: writes the packages and images to dist/release/, with hashes and a bill of materials.
//
//     weft_<version>_<arch>.deb        for Debian, Ubuntu and Raspberry Pi OS, with a Node of its own
//     weft-<version>-oci-<arch>.tar    the image
//     weft-<version>.tgz               for npm install -g
//     weft-<version>.cdx.json          the bill of materials (CycloneDX)
//     SHA256SUMS
//
// It downloads from the package registries only, and runs no binary of another architecture. Two runs of one commit on one
// machine write the same bytes.

import { mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { writeBom } from './release/bom.mjs';
import { checkDeb, writeDeb } from './release/deb.mjs';
import { ARCHITECTURES } from './release/stage.mjs';
import { writeSums } from './release/sums.mjs';
import { writeTgz } from './release/tgz.mjs';
import { main, ROOT, SetupError, say } from './run.mjs';
import { setUp } from './setup.mjs';
import { installMissing } from './system.mjs';

const PARTS = ['deb', 'oci', 'tgz'];
const USAGE = `use: npm run release -- [flags]
  --arch LIST   architectures of packages and images   (${Object.keys(ARCHITECTURES).join(',')})
  --only LIST   what to write                          (${PARTS.join(',')})
  --no-check    do not run lintian on the packages`;

await main(async () => {
  const options = optionsOf(process.argv.slice(2));
  if (options === undefined) return void console.log(USAGE);
  await installMissing(['release', ...(options.only.includes('oci') ? ['image'] : [])]);
  await setUp([], { network: false });
  const outDir = `${ROOT}dist/release`;
  rmSync(outDir, { recursive: true, force: true });
  mkdirSync(outDir, { recursive: true });
  const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
  const { paths, components } = await writeParts({ ...options, version, outDir });
  paths.push(await writeBom({ archs: options.archs, version, outDir, components }));
  writeSums({ paths, outDir });
  rmSync(`${outDir}/work`, { recursive: true, force: true });
  say('dist/release/SHA256SUMS has the hashes');
});

/** Writes the parts in turn. Returns their paths, and the components that the images add to the bill of materials. */
async function writeParts({ archs, only, check, version, outDir }) {
  const paths = [];
  const components = [];
  const done = (path, more = '') => {
    paths.push(path);
    say(`${basename(path)}: ${mebibytes(statSync(path).size)} MiB${more}`);
  };
  if (only.includes('tgz')) done(await writeTgz({ version, outDir }));
  for (const arch of only.includes('deb') ? archs : []) {
    const { path, kibibytes } = await writeDeb({ arch, version, outDir });
    done(path, `, ${mebibytes(kibibytes * 1024)} MiB installed`);
    if (check) await checkDeb(path);
  }
  if (only.includes('oci')) {
    const { writeImage } = await import('./release/oci.mjs');
    for (const arch of archs) {
      const image = await writeImage({ arch, version, outDir });
      done(image.path);
      components.push(...image.components);
    }
  }
  return { paths, components: distinct(components) };
}

/** Returns each component once. */
function distinct(components) {
  return [...new Map(components.map((component) => [component['bom-ref'], component])).values()];
}

function mebibytes(bytes) {
  return (bytes / (1 << 20)).toFixed(1);
}

/** Parses the command line; returns undefined for --help. @throws SetupError */
function optionsOf(argv) {
  try {
    const { values } = parseArgs({
      args: argv,
      options: {
        arch: { type: 'string', default: Object.keys(ARCHITECTURES).join(',') },
        only: { type: 'string', default: PARTS.join(',') },
        'no-check': { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) return undefined;
    const archs = listOf('--arch', values.arch, Object.keys(ARCHITECTURES));
    return { archs, only: listOf('--only', values.only, PARTS), check: !values['no-check'] };
  } catch (error) {
    throw error instanceof SetupError ? error : new SetupError(`release: ${error.message.split('\n')[0]}`);
  }
}

function listOf(flag, text, allowed) {
  const names = text.split(',');
  const unknown = names.find((name) => !allowed.includes(name));
  if (unknown === undefined) return names;
  throw new SetupError(`release: ${flag}: '${unknown}' is unknown; choose from ${allowed.join(', ')}`);
}
