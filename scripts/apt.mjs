// An apt of its own: it downloads packages of any suite and architecture, and leaves this machine's sources as they are.

import { mkdirSync, writeFileSync } from 'node:fs';
import { run } from './run.mjs';

/** The keys of Debian's archives; package debian-archive-keyring. */
const KEYS = '/usr/share/keyrings/debian-archive-keyring.gpg';

const MIRROR = process.env.DEBIAN_MIRROR ?? 'http://deb.debian.org';

/**
 * Returns a function that runs a command with this apt. `apt('apt-get', 'update', '-qq')` must come first. A suite is one of
 * Debian, such as bookworm or bookworm-security. `into` is a folder for apt's files.
 * @param {{ suites: readonly string[], arch?: string, into: string }} options
 * @returns {(...argv: string[]) => Promise<string>}
 */
export function privateApt({ suites, arch = 'amd64', into }) {
  const folder = `${into}/apt`;
  for (const name of ['lists/partial', 'archives/partial', 'parts'])
    mkdirSync(`${folder}/${name}`, { recursive: true });
  writeFileSync(`${folder}/status`, '');
  writeFileSync(`${folder}/sources`, suites.map((suite) => `${sourceOf(suite, arch)}\n`).join(''));
  const configuration = {
    'Dir::State::Lists': `${folder}/lists`,
    'Dir::State::status': `${folder}/status`,
    'Dir::Cache': folder,
    'Dir::Etc::sourcelist': `${folder}/sources`,
    'Dir::Etc::sourceparts': `${folder}/parts`,
    'APT::Architecture': arch,
    // A list of its own: otherwise apt adds the architectures of this machine's dpkg.
    'APT::Architectures': arch,
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
  };
  const lines = Object.entries(configuration).map(([name, value]) => `${name} "${value}";\n`);
  writeFileSync(`${folder}/configuration`, lines.join(''));
  return (...argv) => run(argv, { env: { APT_CONFIG: `${folder}/configuration` } });
}

function sourceOf(suite, arch) {
  const archive = suite.endsWith('-security') ? 'debian-security' : 'debian';
  return `deb [arch=${arch} signed-by=${KEYS}] ${MIRROR}/${archive} ${suite} main`;
}
