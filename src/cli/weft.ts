#!/usr/bin/env node
/** The command line: flags in, one line of error out. What the commands do is in control/. */

import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import type { RunOptions } from '../control/options.js';
import { checkPlatform, checkPrivileges, checkTun } from '../control/preflight.js';
import { UserError } from '../control/user-error.js';
import { version } from '../version.js';

const DEFAULT_RUN_DIR = '/run/weft';
const MAX_WORKERS = 64;
const MAX_BUSY_POLL = 10_000;

/** What commander makes of the flags: one without a default is left out where nobody gave it. */
interface RunFlags extends Pick<RunOptions, 'subnetFile' | 'runDir' | 'workers' | 'offload' | 'busyPoll'> {
  leaseFile: string;
  netConfigPath: string;
  iface?: string;
  peerCheck?: NonNullable<RunOptions['peerCheck']>;
}

function parseWorkers(text: string): number {
  const workers = Number(text);
  if (!Number.isInteger(workers) || workers < 1 || workers > MAX_WORKERS) {
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${MAX_WORKERS}.`);
  }
  return workers;
}

function parseBusyPoll(text: string): number {
  const microseconds = Number(text);
  if (!Number.isInteger(microseconds) || microseconds < 0 || microseconds > MAX_BUSY_POLL) {
    throw new InvalidArgumentError(`It must be a whole number of microseconds from 0 to ${MAX_BUSY_POLL}.`);
  }
  return microseconds;
}

function runDirOption(): Option {
  return new Option('--run-dir <dir>', 'directory of the control socket and state').default(DEFAULT_RUN_DIR);
}

function optionsOf(flags: RunFlags): RunOptions {
  const { leaseFile, netConfigPath, iface } = flags;
  return {
    ...flags,
    source: { type: 'file', leaseFile, netConfigPath },
    underlay: {
      iface: iface === undefined ? [] : [iface],
      ifaceRegex: [],
      ifaceCanReach: undefined,
      publicIp: undefined,
      publicIpv6: undefined,
    },
    health: { address: '0.0.0.0', port: 0 },
    ipMasq: false,
    peerCheck: flags.peerCheck,
  };
}

// Modules that load native code are imported once the platform is known to have it, and only by who needs them.
async function run(flags: RunFlags): Promise<void> {
  checkPlatform(process.platform, process.arch);
  await checkPrivileges();
  await checkTun();
  const { runDaemon } = await import('../control/daemon.js');
  await runDaemon(optionsOf(flags));
}

async function doctor(flags: RunFlags): Promise<void> {
  checkPlatform(process.platform, process.arch);
  const { diagnose } = await import('./doctor.js');
  await diagnose(optionsOf(flags));
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

/** The flags of `weft run`, which `weft doctor` has too. */
function withRunFlags(command: Command): Command {
  return command
    .requiredOption('--lease-file <path>', 'leases of all nodes, a JSON file; watched')
    .option('--net-config-path <path>', "flannel's network configuration", '/etc/kube-flannel/net-conf.json')
    .option('--iface <name>', 'underlay interface, by name or address (default: that of the default route)')
    .option('--subnet-file <path>', 'where to write the subnet for the CNI plugin', '/run/flannel/subnet.env')
    .addOption(runDirOption())
    .option('--workers <n>', 'forwarding threads', parseWorkers, 1)
    .addOption(
      new Option('--offload <rung>', 'offload rung: the best this kernel can, or this one')
        .choices(['auto', 'none', 'gso'])
        .default('auto'),
    )
    .option(
      '--busy-poll <us>',
      'where packets follow closely, look for the next so many µs before blocking',
      parseBusyPoll,
      200,
    )
    .addOption(
      new Option(
        '--peer-check <mode>',
        "who may send: a lease's address with its MAC (udp: subnet), its MAC or subnet, anyone (default: strict; off with Learning)",
      ).choices(['strict', 'mac', 'off']),
    );
}

function program(): Command {
  const weft = new Command('weft')
    .description(
      "A userspace dataplane for flannel's vxlan and udp: takes flanneld's place on nodes without the vxlan kernel module.",
    )
    .version(`weft ${version()}`, '--version', 'print the version')
    .helpCommand(false)
    .exitOverride();
  withRunFlags(weft.command('run').description("carry this node's pod traffic until SIGTERM")).action(run);
  withRunFlags(
    weft.command('doctor').description('tell whether run would run with these flags, and what is in the way'),
  ).action(doctor);
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
async function main(): Promise<number> {
  try {
    await program().parseAsync();
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const message = error instanceof UserError ? error.message : ((error as Error).stack ?? String(error));
    process.stderr.write(`weft: ${message}\n`);
    return 1;
  }
}

// Whoever read the log or the output may go away first; that is no reason to stop forwarding.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});
process.exitCode = await main();
