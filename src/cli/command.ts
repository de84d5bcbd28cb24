/** The two kinds of commands: with flags in Go's syntax as flanneld has them, and with plain options. */

import { parseArgs } from 'node:util';
import type { RunOptions } from '../control/options.js';
import { configureLog, error, warn } from '../control/support/log.js';
import { show } from '../control/support/user-error.js';
import { version } from '../version.js';
import { applyEnvironment } from './environment.js';
import type { Flags, ValuesOf } from './flag.js';
import { refuseQuoted, refuseQuotes } from './flag-quotes.js';
import { FLANNEL_FLAGS, RUN_FLAGS, type RunFlag, type RunFlags, WEFT_FLAGS } from './flags.js';
import { parseFlags, UsageError } from './go-flags.js';
import { nearest } from './nearest.js';
import { runOptions } from './run-options.js';
import {
  flagRow,
  flagRows,
  formatCompleteHelp,
  formatHelp,
  type Usage,
  type UsageGroup,
  type UsageRow,
} from './usage.js';

/** What the usage says about a command, without what follows from its name. */
type Texts = Pick<Usage, 'description' | 'examples' | 'notes'>;

export interface Command extends Usage {
  /** All its flags. */
  readonly groups: readonly UsageGroup[];
  /** Runs the command with the words after its name. @throws UsageError, UserError */
  run(words: string[]): Promise<void>;
}

/** An option of `weft status` or `weft cleanup`. */
interface Option {
  readonly type: 'boolean' | 'string';
  readonly short?: string;
  readonly row: UsageRow;
}

export const HELP = ['-h, --help', 'print this help'] as const;
const HELP_ALL = ['-h, --help [all]', 'print this help; all: with every flag'] as const;

/** Returns whether a word asks for help. */
export function isHelp(word: string): boolean {
  return /^(-h|--?help)$/.test(word);
}

/**
 * Returns a command with the flags of `weft run`, and its own. Each of flanneld's flags also has an environment variable.
 * `shown` are the flags of `weft run` that its short help shows.
 */
export function flagCommand<Own extends Flags>(
  name: string,
  texts: Texts & { readonly shown: readonly RunFlag[] },
  own: Own,
  action: (options: RunOptions, flags: RunFlags & ValuesOf<Own>) => Promise<void>,
): Command {
  const { shown, ...usage } = { name: `weft ${name}`, synopsis: `weft ${name} [FLAG]...`, ...texts };
  const groups: readonly UsageGroup[] = [
    ...(Object.keys(own).length === 0 ? [] : [{ heading: 'Flags of this command:', rows: flagRows(own) }]),
    {
      heading: "flanneld's flags (each also has an environment variable FLANNELD_<NAME>):",
      rows: flagRows(FLANNEL_FLAGS),
    },
    { heading: "Weft's own flags:", rows: flagRows(WEFT_FLAGS) },
    { heading: 'Help:', rows: [HELP_ALL] },
    {
      heading: '-x v, -x=v, --x v and --x=v are equal. -x=false sets a BOOL to false.',
      rows: [],
    },
  ];
  const table = { ...RUN_FLAGS, ...own };
  const rows = [...flagRows(own), ...shown.map((flag) => flagRow(flag, RUN_FLAGS[flag])), HELP_ALL];
  const run = async (words: string[]): Promise<void> => {
    const { values: all, given, help, ignored } = parseFlags(words, table);
    const values = all as RunFlags & ValuesOf<Own>;
    if (help === 'all') return void process.stdout.write(formatCompleteHelp(usage, groups));
    if (help === 'short')
      return void process.stdout.write(
        formatHelp(usage, rows, `${usage.name} --help all and man weft list all flags.`),
      );
    if (values.version) return void process.stderr.write(`weft ${version()}\n`);
    const problems = applyEnvironment(FLANNEL_FLAGS, values, given, process.env);
    configureLog({
      format: values['log-format'],
      verbosity: values.v,
      vmodule: values.vmodule,
      backtraceAt: values.log_backtrace_at || undefined,
    });
    for (const problem of problems) error(problem);
    // As flanneld; but a word too many, such as in `--ip-masq false`, hides the flags behind it.
    if (ignored !== undefined)
      warn(
        `ignoring ${show(ignored)} and all words after it: it is no flag; false for a flag is --flag=false`,
      );
    refuseQuotes(RUN_FLAGS, values, given);
    await action(runOptions(values, given), values);
  };
  return { ...usage, groups, run };
}

/** Returns a command with --run-dir and its own options. */
export function optionCommand(
  name: string,
  texts: Texts,
  own: Readonly<Record<string, Option>>,
  action: (runDir: string, values: Readonly<Record<string, unknown>>) => Promise<void>,
): Command {
  const { initial, help } = WEFT_FLAGS['run-dir'];
  const options: Readonly<Record<string, Option & { default?: string }>> = {
    ...own,
    'run-dir': {
      type: 'string',
      default: initial,
      row: ['--run-dir <DIR>', `${help} (default: ${initial})`],
    },
    help: { type: 'boolean', short: 'h', row: HELP },
  };
  const usage = { name: `weft ${name}`, synopsis: `weft ${name} [OPTION]...`, ...texts };
  const rows = Object.values(options).map(({ row }) => row);
  const run = async (args: string[]): Promise<void> => {
    if (args.some(isHelp)) return void process.stdout.write(formatHelp(usage, rows));
    const values = parsed(() => parseArgs({ args, options }).values, Object.keys(options));
    for (const [name, value] of Object.entries(values)) {
      if (typeof value === 'string') refuseQuoted(value, `--${name}`);
    }
    await action(values['run-dir'] as string, values);
  };
  return { ...usage, groups: [{ heading: 'Options:', rows }], run };
}

/** Turns an error of `parseArgs` into one line. @throws UsageError */
function parsed<T>(parse: () => T, names: readonly string[]): T {
  try {
    return parse();
  } catch (thrown) {
    // The first sentence says what is wrong.
    const [message = ''] = (thrown as Error).message.split(/\.(?:\s|$)/);
    const [, bare] = /^Option '(--?[^' ]+).*' argument is ambiguous/.exec(message) ?? [];
    if (bare !== undefined)
      throw new UsageError(`${bare} lacks its value; write one that begins with a dash as ${bare}=VALUE`);
    const [, unknown] = /^Unknown option '--?([^']+)'/.exec(message) ?? [];
    const meant = unknown === undefined ? undefined : nearest(unknown, names);
    const hint = meant === undefined ? '' : `; the nearest is --${meant}`;
    throw new UsageError(`${message.charAt(0).toLowerCase()}${message.slice(1)}${hint}`);
  }
}
