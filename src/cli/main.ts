/** The command line: runs a command and reports an error as one line. */

import { checkPlatform, checkPrivileges, checkTun } from '../control/preflight.js';
import { error, info, silence } from '../control/support/log.js';
import { logNodeWarnings } from '../control/support/node-warnings.js';
import { printable } from '../control/support/printable.js';
import { UserError, unexpectedError } from '../control/support/user-error.js';
import { version } from '../version.js';
import { type Command, flagCommand, HELP, optionCommand } from './command.js';
import { formatFlagsConfig } from './flags-config.js';
import { UsageError } from './go-flags.js';
import { formatUsage } from './usage.js';

// Modules that load native code are imported after the check of the platform, by the commands that need them.
const run = flagCommand(
  'run',
  "carry this node's pod traffic until SIGTERM or SIGINT",
  async (options, flags) => {
    // A failed start from a lease file logs its error only.
    if (options.source.type !== 'file') info(formatFlagsConfig(flags));
    checkPlatform(process.platform, process.arch);
    await checkPrivileges();
    await checkTun();
    const { runDaemon } = await import('../control/daemon.js');
    await runDaemon(options);
  },
);

const reload = flagCommand(
  'reload',
  'replace the running Weft in the background; ends once the new one is ready',
  async (options) => {
    checkPlatform(process.platform, process.arch);
    const { reload } = await import('./reload.js');
    await reload(options.runDir);
  },
);

const doctor = flagCommand(
  'doctor',
  'check whether `weft run` would start, and what blocks it (read-only)',
  async (options) => {
    // The report on stdout replaces the log.
    silence();
    checkPlatform(process.platform, process.arch);
    const { diagnose } = await import('./doctor.js');
    await diagnose(options);
  },
);

const status = optionCommand(
  'status',
  'show problems, peers and traffic of the running Weft',
  {
    all: { type: 'boolean', row: ['--all', 'list every peer and every counter'] },
    json: { type: 'boolean', row: ['--json', 'print JSON (docs/status.md)'] },
  },
  async (runDir, { all, json }) => {
    const { printStatus } = await import('./status.js');
    await printStatus(runDir, { all: all === true, json: json === true });
  },
);

const cleanup = optionCommand(
  'cleanup',
  'stop Weft; remove device, routes, rules and subnet.env',
  {
    'subnet-file': {
      type: 'string',
      row: ['--subnet-file <path>', 'subnet file to remove (default: the one that Weft wrote)'],
    },
  },
  async (runDir, { 'subnet-file': subnetFile }) => {
    checkPlatform(process.platform, process.arch);
    const { cleanUp } = await import('./cleanup.js');
    await cleanUp(runDir, subnetFile as string | undefined);
  },
);

const COMMANDS: ReadonlyMap<string, Command> = new Map(
  Object.entries({ run, reload, doctor, status, cleanup }),
);

const USAGE = formatUsage(
  'weft [options] [command]',
  "A userspace dataplane for flannel's vxlan and udp: replaces flanneld on nodes without the vxlan kernel module.",
  [
    { heading: 'Options:', rows: [['--version', 'print the version'], HELP] },
    {
      heading: 'Commands:',
      rows: [...COMMANDS].map(([name, { description }]) => [`${name} [options]`, description]),
    },
  ],
);

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
      process.stderr.write(`${printable(thrown.message)}\n${command?.usage ?? ''}`);
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

/** Prints the version or the usage. Returns the exit code. @throws UsageError for an unknown command or option */
function withoutCommand(word: string): number {
  if (word === '--version') process.stdout.write(`weft ${version()}\n`);
  else if (word === '-h' || word === '--help') process.stdout.write(USAGE);
  else if (word !== '')
    throw new UsageError(`error: unknown ${word.startsWith('-') ? 'option' : 'command'} '${word}'`);
  else process.stderr.write(USAGE);
  return word === '' ? 2 : 0;
}
