/** The command line: runs a command and reports an error as one line. */

import { error } from '../control/support/log.js';
import { logNodeWarnings } from '../control/support/node-warnings.js';
import { printable } from '../control/support/printable.js';
import { UserError, unexpectedError } from '../control/support/user-error.js';
import { version } from '../version.js';
import { type Command, isHelp } from './command.js';
import { COMMANDS, OPTIONS, run, WEFT } from './commands.js';
import { UsageError } from './go-flags.js';
import { nearest } from './nearest.js';
import { formatHelp, type UsageRow } from './usage.js';

/** Returns the exit code: 0 success, 1 failure, 2 wrong usage. */
export async function main([name = '', ...words]: string[]): Promise<number> {
  // A reader of the log or the output may close its pipe; forwarding continues.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
  logNodeWarnings();
  const command = COMMANDS.get(name);
  // An error outside the command's own promise; a running node ends in order (control/shutdown.ts).
  process.on('uncaughtException', (thrown) => {
    report(command, thrown);
    process.exit(1);
  });
  try {
    if (command === undefined) return withoutCommand(name);
    await command.run(words);
    return 0;
  } catch (thrown) {
    if (thrown instanceof UsageError) {
      const { name: asked } = command ?? WEFT;
      process.stderr.write(`${asked}: ${printable(thrown.message)}; see ${asked} --help\n`);
      return 2;
    }
    report(command, thrown);
    return 1;
  }
}

/** Prints an error as one line: in the log of `weft run`, plainly for the other commands. */
function report(command: Command | undefined, thrown: unknown): void {
  const { message } = thrown instanceof UserError ? thrown : unexpectedError(thrown);
  if (command === run) error(message);
  else process.stderr.write(`weft: ${message}\n`);
}

/** Prints the version or the help. Returns the exit code. @throws UsageError for an unknown command or option */
function withoutCommand(word: string): number {
  if (word === '--version') process.stdout.write(`weft ${version()}\n`);
  else if (isHelp(word)) process.stdout.write(help());
  else if (word !== '') {
    const meant = nearest(word, [...COMMANDS.keys(), '--version', '--help']);
    throw new UsageError(
      `unknown ${word.startsWith('-') ? 'option' : 'command'} '${word}'${meant === undefined ? '' : `; the nearest is ${meant}`}`,
    );
  } else process.stderr.write(help());
  return word === '' ? 2 : 0;
}

function help(): string {
  const commands = [...COMMANDS].map(([name, { description }]): UsageRow => [name, description]);
  return formatHelp(WEFT, [...commands, ...OPTIONS.rows], 'weft COMMAND --help and man weft say more.');
}
