/** The commands of weft. They import modules that load native code on demand, after the check of the platform. */

import { checkPlatform, checkPrivileges, checkTun } from '../control/preflight.js';
import { info, silence } from '../control/support/log.js';
import { CAPTURE_EXAMPLES, CAPTURE_OPTIONS } from './capture-options.js';
import { type Command, flagCommand, HELP, optionCommand } from './command.js';
import { DOCTOR_FLAGS } from './flags.js';
import { formatFlagsConfig } from './flags-config.js';
import { intervalOf, TOP_EXAMPLES, TOP_OPTIONS } from './top-options.js';
import type { UsageGroup } from './usage.js';

/** The one command whose errors belong into the log. */
export const run = flagCommand(
  'run',
  "carry this node's pod traffic until SIGTERM or SIGINT",
  {},
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
  {},
  async (options) => {
    checkPlatform(process.platform, process.arch);
    const { reload } = await import('./reload.js');
    await reload(options.runDir);
  },
);

const doctor = flagCommand(
  'doctor',
  'check this node, with or without a running Weft, and its peers (read-only)',
  DOCTOR_FLAGS,
  async (options, { json, peers }) => {
    // The report on stdout replaces the log.
    silence();
    try {
      checkPlatform(process.platform, process.arch);
    } catch (error) {
      const { reportPlatform } = await import('./doctor-platform.js');
      reportPlatform(error, json);
      throw error;
    }
    const { diagnose } = await import('./doctor.js');
    await diagnose(options, { json, peers });
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

const capture = optionCommand(
  'capture',
  'show or record packets that Weft forwards and drops',
  CAPTURE_OPTIONS,
  async (runDir, values) => {
    const { capturePackets } = await import('./capture.js');
    await capturePackets(runDir, values);
  },
  CAPTURE_EXAMPLES,
);

const top = optionCommand(
  'top',
  'watch the traffic of each peer, and drops as they occur',
  TOP_OPTIONS,
  async (runDir, { interval }) => {
    const intervalMs = intervalOf(interval);
    const { showTop } = await import('./top/top.js');
    await showTop(runDir, intervalMs);
  },
  TOP_EXAMPLES,
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

export const COMMANDS: ReadonlyMap<string, Command> = new Map(
  Object.entries({ run, reload, doctor, status, top, capture, cleanup }),
);

export const SYNOPSIS = 'weft [options] [command]';
export const DESCRIPTION =
  "A userspace dataplane for flannel's vxlan and udp: replaces flanneld on nodes without the vxlan kernel module.";
/** The options that stand without a command. */
export const OPTIONS: UsageGroup = { heading: 'Options:', rows: [['--version', 'print the version'], HELP] };
