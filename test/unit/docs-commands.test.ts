/** The commands and examples on the pages for users: they parse, and those that can run here run. */

import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { loadAll } from 'js-yaml';
import t from 'tap';
import { applyEnvironment, variableOf } from '../../src/cli/environment.js';
import { DOCTOR_FLAGS, FLANNEL_FLAGS, RUN_FLAGS } from '../../src/cli/flags.js';
import { parseFlags } from '../../src/cli/go-flags.js';
import { runOptions } from '../../src/cli/run-options.js';
import { netConfOf } from '../../src/control/config/net-conf.js';
import { readLeaseFile } from '../../src/control/leases/file/lease-file.js';
import { JsonFile } from '../../src/control/support/json-file.js';
import { codeBlocks, isForElsewhere, ROOT, userPages, weftCommands } from '../support/code-blocks.js';

const CLI = join(ROOT, 'dist/src/cli/weft.js');
const PAGES = userPages();
const BLOCKS = PAGES.flatMap(codeBlocks);
const shell = BLOCKS.filter(({ language }) => language === 'sh');
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };

/** Returns the options that `weft <command> --help` lists. */
function optionsOf(command: string): string[] {
  const usage = execFileSync(process.execPath, [CLI, command, '--help'], { encoding: 'utf8' });
  return [...usage.matchAll(/(?<=\s)--?[a-z][a-z-]*/g)].map(([option]) => option);
}

const OPTIONS: Readonly<Record<string, readonly string[]>> = {
  status: optionsOf('status'),
  top: optionsOf('top'),
  cleanup: optionsOf('cleanup'),
  capture: optionsOf('capture'),
};

/** Returns why the command line would be wrong usage; undefined if it is right. */
function problemOf([name = '', ...rest]: readonly string[]): string | undefined {
  // A placeholder or a variable of the shell stands for flags.
  const words = rest.filter((word) => !/^(\[.*|.*\]|…|\$.*|<.*>)$/.test(word) && !/^"?\$/.test(word));
  if (name.startsWith('-')) return undefined;
  const options = OPTIONS[name];
  if (options !== undefined) {
    const unknown = words.filter(
      (word) => word.startsWith('-') && !options.includes(word.replace(/=.*/, '')),
    );
    return unknown.length === 0 ? undefined : `weft ${name} has no ${unknown.join(', ')}`;
  }
  if (!['run', 'reload', 'doctor'].includes(name)) return `weft has no command ${name}`;
  try {
    const table = name === 'doctor' ? { ...RUN_FLAGS, ...DOCTOR_FLAGS } : RUN_FLAGS;
    const { values, given, help } = parseFlags(words, table);
    if (help !== undefined) return undefined;
    runOptions(values, given);
    const last = words.findLastIndex((word) => word.startsWith('-'));
    const named = words[last]?.replace(/^--?/, '') ?? '';
    const takesNext =
      !named.includes('=') && Object.hasOwn(table, named) && !table[named as keyof typeof table].boolean;
    const left = words.slice(last + (takesNext ? 2 : 1));
    return left.length === 0 ? undefined : `${left.join(' ')} is no flag`;
  } catch (error) {
    return (error as Error).message;
  }
}

t.test('every weft command on the pages has flags that Weft accepts', async (t) => {
  const inline = PAGES.flatMap(({ path, text }) =>
    [...text.matchAll(/`(weft [^`]+)`/g)].map(([, code = '']) => ({ where: path, text: code })),
  );
  const commands = [...BLOCKS, ...inline].flatMap(({ where, text }) =>
    weftCommands(text).map((words) => ({ where, words })),
  );
  t.ok(commands.length > 60, 'the check finds commands');
  t.match(problemOf(['run', '--none']), /not defined/, 'the check can fail');
  t.match(problemOf(['run', '--ip-masq', 'false']), /is no flag/);
  t.match(problemOf(['status', '--every']), /has no --every/);
  t.same(
    commands.flatMap(({ where, words }) => {
      const problem = problemOf(words);
      return problem === undefined ? [] : [`${where}: weft ${words.join(' ')}: ${problem}`];
    }),
    [],
  );
});

t.test('every shell block is valid shell', async (t) => {
  t.ok(shell.length > 40, 'the check finds blocks');
  t.same(
    shell.flatMap(({ where, text }) => {
      const { status, stderr } = spawnSync('bash', ['-n'], { input: text, encoding: 'utf8' });
      return status === 0 ? [] : [`${where}: ${stderr}`];
    }),
    [],
  );
});

t.test('the shell blocks that are not for another machine run', async (t) => {
  const blocks = shell.filter((block) => !isForElsewhere(block));
  t.ok(blocks.length >= 3, 'the check finds blocks');
  const dir = t.testdir({
    bin: {},
    // What `npm run release` leaves: a stand-in, because building it takes minutes.
    dist: { release: {} },
    run: {
      'subnet.env':
        'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n',
    },
  });
  writeFileSync(join(dir, 'bin/weft'), `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`);
  chmodSync(join(dir, 'bin/weft'), 0o755);
  const archive = `weft_${version}_arm64.deb`;
  writeFileSync(join(dir, 'dist/release', archive), 'package');
  const sum = createHash('sha256').update('package').digest('hex');
  writeFileSync(join(dir, 'dist/release/SHA256SUMS'), `${sum}  ${archive}\n`);
  mkdirSync(join(dir, 'deploy'));
  const env = { ...process.env, PATH: `${dir}/bin:${ROOT}deploy/cni:${process.env.PATH ?? ''}` };
  for (const { where, text } of blocks) {
    await t.resolves(promisify(execFile)('bash', ['-euc', text], { cwd: dir, env }), where);
  }
});

t.test(
  'every file of the project in a shell block exists, and every artefact has the present version',
  async (t) => {
    const words = shell.flatMap(({ where, text }) =>
      text
        .split(/[\s'"=]+/)
        // An installed package has the same folders.
        .map((word) => ({ where, word: word.replace(/^\/weft\/|[;)]+$/g, '') })),
    );
    const missing = words.filter(
      ({ word }) => /^(deploy|docs|scripts|src|test)\//.test(word) && !existsSync(join(ROOT, word)),
    );
    t.same(missing, []);
    const artefacts = words.filter(({ word }) => /weft[_-]\d/.test(word));
    t.ok(artefacts.length > 5, 'the check finds artefacts');
    const names = [
      ...['deb', 'oci'].flatMap((kind) =>
        ['arm64', 'amd64', '$(dpkg'].map((arch) =>
          kind === 'deb' ? `weft_${version}_${arch}` : `weft-${version}-oci-${arch}.tar`,
        ),
      ),
      `weft-${version}.tgz`,
    ];
    t.same(
      artefacts.filter(({ word }) => !names.some((name) => word.includes(name))),
      [],
    );
  },
);

t.test('every kustomization and manifest that kubectl applies exists', async (t) => {
  const applied = shell.flatMap(({ text }) =>
    [...text.matchAll(/kubectl (?:apply|delete) -k (\S+)/g)].map(([, path = '']) => path),
  );
  t.ok(applied.length > 3, 'the check finds them');
  t.same(
    [...new Set(applied)].filter((path) => !existsSync(join(ROOT, path, 'kustomization.yaml'))),
    [],
  );
});

t.test('every weft.conf on the pages has known variables and flags', async (t) => {
  const files = BLOCKS.filter(({ language }) => language === 'ini');
  t.ok(files.length > 3, 'the check finds them');
  for (const { where, text } of files) {
    const environment = Object.fromEntries(
      text.split('\n').map((line) => {
        const [, name = '', value = ''] = /^([A-Z_]+)=(.*)$/.exec(line) ?? [];
        return [name, value];
      }),
    );
    const known = ['NODE_NAME', 'WEFT_FLAGS', ...Object.keys(FLANNEL_FLAGS).map(variableOf)];
    t.same(
      Object.keys(environment).filter((name) => !known.includes(name)),
      [],
      where,
    );
    const { values, given } = parseFlags(
      (environment.WEFT_FLAGS ?? '').split(' ').filter(Boolean),
      RUN_FLAGS,
    );
    t.same(applyEnvironment(FLANNEL_FLAGS, values, given, environment), [], where);
    t.doesNotThrow(() => runOptions(values, given), where);
  }
});

t.test('every JSON example parses, by the parser of its file', async (t) => {
  const examples = BLOCKS.filter(({ language }) => language === 'json');
  t.ok(examples.length > 3, 'the check finds them');
  for (const { where, text } of examples) {
    const value = JSON.parse(text) as Record<string, unknown>;
    if ('leases' in value) {
      const path = join(t.testdir({ 'leases.json': text }), 'leases.json');
      const families = text.includes('IPv6Subnet') ? (['ipv4', 'ipv6'] as const) : (['ipv4'] as const);
      const { leases, ignored } = await readLeaseFile(path, 1, families);
      t.same(ignored, [], where);
      t.ok((leases.ipv4?.length ?? 0) >= 2, where);
    } else if ('Network' in value) {
      t.same(netConfOf(JsonFile.parse('--net-config-path', where, text)).ignored, [], where);
    }
  }
});

t.test('every YAML example parses', async (t) => {
  for (const { where, text } of BLOCKS.filter(({ language }) => language === 'yaml')) {
    t.doesNotThrow(() => loadAll(text), where);
  }
});

t.test('the issue templates parse, and ask for what a report needs', async (t) => {
  const dir = join(ROOT, '.github/ISSUE_TEMPLATE');
  for (const name of readdirSync(dir)) {
    t.doesNotThrow(() => loadAll(readFileSync(join(dir, name), 'utf8')), name);
  }
  t.match(readFileSync(join(dir, 'bug.yml'), 'utf8'), /weft status --json[^]*weft --version/);
  t.ok(existsSync(join(ROOT, 'SECURITY.md')));
});
