/** The two kinds of commands: with flags in Go's syntax as flanneld has them, and with plain options. */

import { parseArgs } from 'node:util';
import type { RunOptions } from '../control/options.js';
import { configureLog, error } from '../control/support/log.js';
import { version } from '../version.js';
import { applyEnvironment } from './environment.js';
import { refuseQuoted, refuseQuotes } from './flag-quotes.js';
import { FLANNEL_FLAGS, RUN_FLAGS, type RunFlags, WEFT_FLAGS } from './flags.js';
import { parseFlags, UsageError } from './go-flags.js';
import { runOptions } from './run-options.js';
import { flagRows, formatUsage, type UsageRow } from './usage.js';

export interface Command {
  readonly description: string;
  /** The usage that follows an error on the command line, as with flanneld. */
  readonly usage?: string;
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

/** Returns a command with the flags of `weft run`. Each of flanneld's flags also has an environment variable. */
export function flagCommand(
  name: string,
  description: string,
  action: (options: RunOptions, flags: RunFlags) => Promise<void>,
): Command {
  const usage = formatUsage(`weft ${name} [OPTION]...`, description, [
    {
      heading: "flanneld's flags (each also has an environment variable FLANNELD_<NAME>):",
      rows: flagRows(FLANNEL_FLAGS),
    },
    { heading: "Weft's own flags:", rows: flagRows(WEFT_FLAGS) },
    { heading: 'Options:', rows: [HELP] },
    {
      heading: '-x v, -x=v, --x v and --x=v are equal. -x sets a BOOL to true, -x=false to false.',
      rows: [],
    },
  ]);
  const run = async (words: string[]): Promise<void> => {
    const { values, given, help } = parseFlags(words, RUN_FLAGS);
    if (help) return void process.stdout.write(usage);
    if (values.version) return void process.stderr.write(`weft ${version()}\n`);
    const problems = applyEnvironment(FLANNEL_FLAGS, values, given, process.env);
    configureLog({
      format: values['log-format'],
      verbosity: values.v,
      vmodule: values.vmodule,
      backtraceAt: values.log_backtrace_at || undefined,
    });
    for (const problem of problems) error(problem);
    refuseQuotes(RUN_FLAGS, values, given);
    await action(runOptions(values, given), values);
  };
  return { description, usage, run };
}

/** Returns a command with --run-dir and its own options. */
export function optionCommand(
  name: string,
  description: string,
  own: Readonly<Record<string, Option>>,
  action: (runDir: string, values: Readonly<Record<string, unknown>>) => Promise<void>,
  examples: readonly UsageRow[] = [],
): Command {
  const { initial, help } = WEFT_FLAGS['run-dir'];
  const runDir: UsageRow = ['--run-dir <dir>', `${help} (default: ${JSON.stringify(initial)})`];
  const options: Readonly<Record<string, Option & { default?: string }>> = {
    'run-dir': { type: 'string', default: initial, row: runDir },
    ...own,
    help: { type: 'boolean', short: 'h', row: HELP },
  };
  const rows = Object.values(options).map(({ row }) => row);
  const groups = examples.length > 0 ? [{ heading: 'Examples:', rows: examples }] : [];
  const usage = formatUsage(`weft ${name} [options]`, description, [
    ...groups,
    { heading: 'Options:', rows },
  ]);
  const run = async (args: string[]): Promise<void> => {
    const values = parsed(() => parseArgs({ args, options }).values);
    if (values.help) return void process.stdout.write(usage);
    for (const [name, value] of Object.entries(values)) {
      if (typeof value === 'string') refuseQuoted(value, `--${name}`);
    }
    await action(values['run-dir'] as string, values);
  };
  return { description, run };
}

/** Turns an error of `parseArgs` into one line. @throws UsageError */
function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (thrown) {
    const [message = ''] = (thrown as Error).message.split('\n');
    throw new UsageError(`error: ${message.charAt(0).toLowerCase()}${message.slice(1)}`);
  }
}
