// The Debian package: the staged Weft with unit, settings, manual page and completion, put together by dpkg-deb.

import { createHash } from 'node:crypto';
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ROOT, run, say } from '../run.mjs';
import { controlFile, copyrightFile, debianChangelog, packagedUnit } from './control.mjs';
import { dateAll, sourceDate } from './source-date.mjs';
import { copy, filesUnder, stageApp, write } from './stage.mjs';

const DOC = 'usr/share/doc/weft';

/** Files of deploy/ with their places in the package. */
const COPIED = {
  'debian/weft.conf': 'etc/weft/weft.conf',
  'debian/README.Debian': `${DOC}/README.Debian`,
  'debian/lintian-overrides': 'usr/share/lintian/overrides/weft',
  'network/10-weft.link': 'usr/lib/systemd/network/10-weft.link',
  'network/10-weft.network': 'usr/lib/systemd/network/10-weft.network',
  'network/NetworkManager-weft.conf': 'usr/lib/NetworkManager/conf.d/weft.conf',
  'network/dhcpcd-weft.conf': `${DOC}/examples/dhcpcd-weft.conf`,
};

const SCRIPTS = ['postinst', 'prerm', 'postrm'];

/**
 * Writes weft_<version>_<arch>.deb; the project is built.
 * @param {{ arch: 'amd64' | 'arm64', version: string, outDir: string }} options
 * @returns {Promise<{ path: string, kibibytes: number }>} with the installed size
 */
export async function writeDeb({ arch, version, outDir }) {
  const tree = join(outDir, 'work', `deb-${arch}`);
  rmSync(tree, { recursive: true, force: true });
  await stageApp({ arch, into: tree });
  for (const [from, to] of Object.entries(COPIED)) copy(`${ROOT}deploy/${from}`, join(tree, to));
  const seconds = await sourceDate();
  await addGenerated(tree, version, seconds);
  const kibibytes = installedSize(tree);
  addControl(tree, { arch, version, kibibytes });
  dateAll(tree, seconds);
  const path = join(outDir, `weft_${version}_${arch}.deb`);
  // The number of threads decides where xz begins a block, so it is fixed.
  await run(['dpkg-deb', '--root-owner-group', '-Zxz', '-z6', '--threads-max=2', '--build', tree, path], {
    env: { SOURCE_DATE_EPOCH: `${seconds}` },
  });
  rmSync(tree, { recursive: true });
  return { path, kibibytes };
}

/** Checks a package with lintian. @throws SetupError with its errors */
export async function checkDeb(path) {
  say(`checking ${basename(path)} with lintian`);
  const flags = [
    '--fail-on',
    'error',
    '--display-level',
    '>=warning',
    '--allow-root',
    '--tag-display-limit',
    '0',
  ];
  const output = await run(['lintian', ...flags, path]);
  if (output.trim() !== '') console.log(output.trimEnd());
}

async function addGenerated(tree, version, seconds) {
  const unit = ['deploy/systemd/weft.service', 'deploy/weft.service'].find((path) => existsSync(ROOT + path));
  write(join(tree, 'usr/lib/systemd/system/weft.service'), packagedUnit(readFileSync(ROOT + unit, 'utf8')));
  const cli = `${ROOT}dist/src/cli`;
  const { COMMANDS, OPTIONS, WEFT } = await import(`${cli}/commands.js`);
  const { formatManPage } = await import(`${cli}/reference/man-page.js`);
  const { formatBashCompletion } = await import(`${cli}/reference/bash-completion.js`);
  const page = formatManPage({
    version,
    date: new Date(seconds * 1000).toISOString().slice(0, 10),
    program: WEFT,
    options: OPTIONS,
    commands: COMMANDS,
  });
  write(join(tree, 'usr/share/man/man8/weft.8.gz'), zipped(page));
  write(join(tree, 'usr/share/bash-completion/completions/weft'), formatBashCompletion(OPTIONS, COMMANDS));
  const changelog = debianChangelog(readFileSync(`${ROOT}CHANGELOG.md`, 'utf8'), { version, seconds });
  write(join(tree, DOC, 'changelog.gz'), zipped(changelog));
  write(join(tree, DOC, 'copyright'), copyrightFile(takeLicences(join(tree, 'usr/lib/weft'))));
}

/** Returns the licence files below a folder, and removes them. */
function takeLicences(base) {
  const files = filesUnder(base).filter((path) =>
    /(^|\/)(licen[cs]e|notice|copying)|LICENSES\.txt$/i.test(path),
  );
  return files.map((path) => {
    const text = readFileSync(join(base, path), 'utf8');
    rmSync(join(base, path));
    return { name: dirname(path) === 'bin' ? 'Node.js' : path, text };
  });
}

function addControl(tree, { arch, version, kibibytes }) {
  const sums = filesUnder(tree).map((path) => {
    const sum = createHash('md5')
      .update(readFileSync(join(tree, path)))
      .digest('hex');
    return `${sum}  ${path}\n`;
  });
  const { description } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
  mkdirSync(join(tree, 'DEBIAN'));
  write(join(tree, 'DEBIAN/md5sums'), sums.join(''));
  write(join(tree, 'DEBIAN/control'), controlFile({ arch, version, description, kibibytes }));
  write(join(tree, 'DEBIAN/conffiles'), '/etc/weft/weft.conf\n');
  for (const name of SCRIPTS) {
    copy(`${ROOT}deploy/debian/${name}`, join(tree, 'DEBIAN', name));
    chmodSync(join(tree, 'DEBIAN', name), 0o755);
  }
}

/** Returns the sum of the files' sizes in KiB, each rounded up, as dpkg-gencontrol counts them. */
function installedSize(tree) {
  return filesUnder(tree).reduce((sum, path) => sum + Math.ceil(lstatSync(join(tree, path)).size / 1024), 0);
}

/** Compresses a text without name and time. */
function zipped(text) {
  return gzipSync(text, { level: 9 });
}
