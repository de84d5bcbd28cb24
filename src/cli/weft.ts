#!/usr/bin/env node
/** The command line: flags in, one line of error out. What the commands do is in control/. */

import { Command, CommanderError, Option } from 'commander';
import type { RunOptions } from '../control/options.js';
import { checkPlatform, checkPrivileges, checkTun } from '../control/preflight.js';
import { configureLog, error, info, silence } from '../control/support/log.js';
import { UserError } from '../control/support/user-error.js';
import { version } from '../version.js';
import { applyEnvironment } from './environment.js';
import { FLANNEL_FLAGS, RUN_FLAGS, type RunFlags, WEFT_FLAGS } from './flags.js';
import { formatFlagsConfig } from './flags-config.js';
import { addFlags, flagsOf, spellOut, UsageError } from './go-flags.js';
import { runOptions } from './run-options.js';

/** The commands whose flags are those of flanneld. */
const GO_COMMANDS = ['run', 'doctor'];

// Modules that load native code are imported once the platform is known to have it, and only by who needs them.
async function run(options: RunOptions, flags: RunFlags): Promise<void> {
  // A start from a lease file that is refused says one thing only.
  if (options.source.type !== 'file') info(formatFlagsConfig(flags));
  checkPlatform(process.platform, process.arch);
  await checkPrivileges();
  await checkTun();
  const { runDaemon } = await import('../control/daemon.js');
  await runDaemon(options);
}

async function doctor(options: RunOptions): Promise<void> {
  // It says what it finds on stdout, each thing once.
  silence();
  checkPlatform(process.platform, process.arch);
  const { diagnose } = await import('./doctor.js');
  await diagnose(options);
}

async function status(flags: { runDir: string; json?: boolean }): Promise<void> {
  const { printStatus } = await import('./status.js');
  await printStatus(flags.runDir, flags.json === true);
}

async function cleanup(flags: { runDir: string; subnetFile?: string }): Promise<void> {
  checkPlatform(process.platform, process.arch);
  const { cleanUp } = await import('./cleanup.js');
  await cleanUp(flags.runDir, flags.subnetFile);
}

/** Flags and environment of `weft run` understood, and the log set up, before `action`. */
function withOptions(action: (options: RunOptions, flags: RunFlags) => Promise<void>) {
  return async (_: unknown, command: Command): Promise<void> => {
    const { values, given } = flagsOf(command, RUN_FLAGS);
    if (values.version) {
      process.stderr.write(`weft ${version()}\n`);
      return;
    }
    const complaints = applyEnvironment(FLANNEL_FLAGS, values, given, process.env);
    configureLog({
      format: values['log-format'],
      verbosity: values.v,
      vmodule: values.vmodule,
      backtraceAt: values.log_backtrace_at || undefined,
    });
    for (const complaint of complaints) error(complaint);
    await action(runOptions(values, given), values);
  };
}

/** The flags of `weft run`, which `weft doctor` has too. */
function withRunFlags(command: Command): Command {
  addFlags(command, "flanneld's flags, each also by its variable FLANNELD_<NAME>:", FLANNEL_FLAGS);
  addFlags(command, "Weft's own:", WEFT_FLAGS);
  return command
    .usage('[OPTION]...')
    .addHelpText(
      'after',
      '\n-x v, -x=v, --x v and --x=v are the same; a BOOL is on by -x and off by -x=false.',
    );
}

function runDirOption(): Option {
  const { help, initial } = WEFT_FLAGS['run-dir'];
  return new Option('--run-dir <dir>', help).default(initial);
}

function program(): Command {
  const weft = new Command('weft')
    .description(
      "A userspace dataplane for flannel's vxlan and udp: takes flanneld's place on nodes without the vxlan kernel module.",
    )
    .version(`weft ${version()}`, '--version', 'print the version')
    .helpCommand(false)
    .exitOverride();
  withRunFlags(weft.command('run').description("carry this node's pod traffic until SIGTERM")).action(
    withOptions(run),
  );
  withRunFlags(
    weft.command('doctor').description('tell whether run would run with these flags, and what is in the way'),
  ).action(withOptions(doctor));
  weft
    .command('status')
    .description('show the running weft: device, peers, counters')
    .addOption(runDirOption())
    .option('--json', 'as JSON')
    .action(status);
  weft
    .command('cleanup')
    .description('stop weft and remove device, routes and subnet file')
    .addOption(runDirOption())
    .option('--subnet-file <path>', 'subnet file to remove (default: the one that was written)')
    .action(cleanup);
  return weft;
}

/** Exit code: 0 done, 1 refused or failed, 2 wrong usage. */
async function main([name = '', ...words]: string[]): Promise<number> {
  const weft = program();
  try {
    const flags = GO_COMMANDS.includes(name) ? spellOut(words, RUN_FLAGS) : words;
    await weft.parseAsync(name === '' ? [] : [name, ...flags], { from: 'user' });
    return 0;
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2;
    if (thrown instanceof UsageError) {
      process.stderr.write(`${thrown.message}\n`);
      weft.commands.find((command) => command.name() === name)?.outputHelp({ error: true });
      return 2;
    }
    const message =
      thrown instanceof UserError ? thrown.message : ((thrown as Error).stack ?? String(thrown));
    if (name === 'run') error(message);
    else process.stderr.write(`weft: ${message}\n`);
    return 1;
  }
}

// Whoever read the log or the output may go away first; that is no reason to stop forwarding.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});
process.exitCode = await main(process.argv.slice(2));
