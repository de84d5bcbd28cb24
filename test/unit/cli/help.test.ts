/** The help of each command fits on one screen, begins with examples that parse, and has every flag on request. */

import { parseArgs } from 'node:util';
import t from 'tap';
import { captureRequest } from '../../../src/cli/capture-options.js';
import { COMMANDS, WEFT } from '../../../src/cli/commands.js';
import { DOCTOR_FLAGS, RUN_FLAGS } from '../../../src/cli/flags.js';
import { parseFlags } from '../../../src/cli/go-flags.js';
import { runOptions } from '../../../src/cli/run-options.js';
import { intervalOf } from '../../../src/cli/top-options.js';
import { weft } from '../../support/weft-command.js';

const NAMES = [...COMMANDS.keys()];
const HELPS = [['--help'], ...NAMES.map((name) => [name, '--help'])];

/** The parsers of the commands. Each throws for a wrong word. */
const PARSERS: Readonly<Record<string, (args: string[]) => unknown>> = {
  run: runParser(RUN_FLAGS),
  reload: runParser(RUN_FLAGS),
  doctor: runParser({ ...RUN_FLAGS, ...DOCTOR_FLAGS }),
  status: (args) => optionsIn('status', args),
  top: (args) => intervalOf(optionsIn('top', args).interval),
  capture: (args) => captureRequest(optionsIn('capture', args), 'text'),
  cleanup: (args) => optionsIn('cleanup', args),
};

function runParser(table: typeof RUN_FLAGS): (args: string[]) => unknown {
  return (args) => {
    const { values, given } = parseFlags(args, table);
    const words = args.filter((word) => !word.startsWith('-'));
    const texts = [...given].filter((name) => !table[name as keyof typeof table].boolean);
    if (words.length !== texts.length) throw new Error(`${words.join(' ')} is no value of a flag`);
    return runOptions(values, given);
  };
}

/** Parses the options that the usage of a command lists. */
function optionsIn(name: string, args: string[]): Readonly<Record<string, unknown>> {
  const terms = COMMANDS.get(name)?.groups.flatMap(({ rows }) => rows.map(([term]) => term)) ?? [];
  const options = terms.map((term) => {
    const [, short, long = '', value] = /^(?:-(\w), )?--([\w-]+)( <.+)?$/.exec(term) ?? [];
    return [long, { type: value === undefined ? 'boolean' : 'string', ...(short && { short }) }] as const;
  });
  return parseArgs({ args, options: Object.fromEntries(options) }).values;
}

/** Returns the words of `weft` in an example, without what the shell reads. */
function wordsOf(example: string): string[] {
  const [, words = ''] = /(?:^|\s)weft ([^|&]+)/.exec(example) ?? [];
  return words.trim().split(' ');
}

t.test('--help fits on a screen of 80 columns and 24 lines, with examples first', async (t) => {
  for (const args of HELPS) {
    const { code, stdout, stderr } = await weft(...args);
    const name = args.join(' ');
    const lines = stdout.trimEnd().split('\n');
    t.same([code, stderr], [0, ''], name);
    t.ok(lines.length <= 24, `${name}: ${lines.length} lines`);
    t.same(
      lines.filter((line) => line.length > 80),
      [],
    );
    t.same(lines.slice(1, 3), ['', 'Examples:'], `${name}: what it does, then examples`);
    const usage = lines.findIndex((line) => line.startsWith('Usage: weft'));
    t.ok(usage >= 5, `${name}: two examples or more`);
    t.match(stdout, /\n {2}-h, --help {2}|\n {2}-h, --help \[all\] {2}/);
  }
});

t.test('every example is a command that its parser accepts', async (t) => {
  for (const { name, examples } of [WEFT, ...COMMANDS.values()]) {
    for (const [example] of examples.filter(([example]) => example !== 'systemctl reload weft')) {
      const [command = '', ...args] = wordsOf(example);
      t.ok(name === 'weft' || name === `weft ${command}`, example);
      t.doesNotThrow(() => PARSERS[command]?.(args), example);
      t.ok(command in PARSERS, example);
    }
  }
  t.throws(() => PARSERS.run?.(['--lease-file', 'x', 'y']), 'a word too many');
  t.throws(() => PARSERS.capture?.(['--count', 'x']), 'a wrong value');
  t.throws(() => PARSERS.status?.(['--peers']), 'an option of another command');
});

t.test('--help all has every flag of run, reload and doctor, with its meaning, in 80 columns', async (t) => {
  for (const name of ['run', 'reload', 'doctor']) {
    const { stdout } = await weft(name, '--help', 'all');
    const flat = stdout.replaceAll(/\s+/g, ' ');
    for (const [flag, { help }] of Object.entries(RUN_FLAGS))
      t.ok(flat.includes(` --${flag} `) && flat.includes(` ${help}`), `${name} --${flag}`);
    t.same(
      stdout.split('\n').filter((line) => line.length > 80),
      [],
    );
    t.equal((await weft(name, '-help=all')).stdout, stdout);
  }
});

t.test('-h and -help are --help, also behind other options', async (t) => {
  for (const name of NAMES) {
    const { stdout } = await weft(name, '--help');
    for (const word of ['-h', '-help']) t.equal((await weft(name, word)).stdout, stdout, `${name} ${word}`);
    t.equal((await weft(name, '--run-dir', 'x', '-h')).stdout, stdout);
  }
  t.equal((await weft('-help')).stdout, (await weft('--help')).stdout);
});

t.test('an unknown command or flag is one line with the nearest name, and exit code 2', async (t) => {
  for (const [args, says] of [
    [['statsu'], "weft: unknown command 'statsu'; the nearest is status; see weft --help"],
    [['version'], "weft: unknown command 'version'; the nearest is --version; see weft --help"],
    [['fly'], "weft: unknown command 'fly'; see weft --help"],
    [['--fly'], "weft: unknown option '--fly'; see weft --help"],
    [
      ['run', '--ifce', 'eth0'],
      'weft run: flag provided but not defined: -ifce; the nearest is --iface; see weft run --help',
    ],
    [['reload', '-foo'], 'weft reload: flag provided but not defined: -foo; see weft reload --help'],
    [
      ['doctor', '--peer'],
      'weft doctor: flag provided but not defined: -peer; the nearest is --peers; see weft doctor --help',
    ],
    [
      ['status', '--jsn'],
      "weft status: unknown option '--jsn'; the nearest is --json; see weft status --help",
    ],
    [['status', 'all'], "weft status: unexpected argument 'all'; see weft status --help"],
    [
      ['capture', '--count', '-1'],
      'weft capture: --count lacks its value; write one that begins with a dash as --count=VALUE; see weft capture --help',
    ],
    [['capture', '-x'], "weft capture: unknown option '-x'; see weft capture --help"],
    [
      ['top', '--interval', '0'],
      'weft top: --interval 0: not a number of seconds from 0.1 to 3600; see weft top --help',
    ],
    [
      ['status', '--run-dir'],
      "weft status: option '--run-dir <value>' argument missing; see weft status --help",
    ],
  ] as const) {
    t.same(await weft(...args), { code: 2, stdout: '', stderr: `${says}\n` });
  }
});
