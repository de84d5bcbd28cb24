/** The commands of weft. They import modules that load native code on demand, after the check of the platform. */

import { isDefaultEtcd } from '../control/options.js';
import { checkPlatform, checkPrivileges, checkTun } from '../control/preflight.js';
import { info, silence } from '../control/support/log.js';
import { CAPTURE_EXAMPLES, CAPTURE_OPTIONS } from './capture-options.js';
import { type Command, flagCommand, HELP, optionCommand } from './command.js';
import { DOCTOR_FLAGS } from './flags.js';
import { formatFlagsConfig } from './flags-config.js';
import { intervalOf, TOP_EXAMPLES, TOP_OPTIONS } from './top-options.js';
import type { Usage, UsageGroup } from './usage.js';

/** Flags that the short help of several commands shows. */
const SOURCE_AND_UNDERLAY = [
  'kube-subnet-mgr',
  'kubeconfig-file',
  'etcd-endpoints',
  'lease-file',
  'net-config-path',
  'iface',
] as const;

/** The one command whose errors belong into the log. */
export const run = flagCommand(
  'run',
  {
    description: "carry this node's pod traffic until SIGTERM or SIGINT",
    examples: [
      ['NODE_NAME=pi weft run --kube-subnet-mgr --kubeconfig-file k8s.conf', 'Kubernetes'],
      ['weft run --lease-file leases.json --net-config-path net-conf.json', 'lease file'],
      ['weft run --etcd-endpoints http://192.168.77.10:2379 --ip-masq', 'etcd'],
    ],
    shown: [...SOURCE_AND_UNDERLAY, 'public-ip', 'ip-masq', 'healthz-port', 'adopt', 'v'],
    notes: ["flanneld's flags also have variables: --ip-masq is FLANNELD_IP_MASQ=true."],
  },
  {},
  async (options, flags) => {
    // A failed start from a lease file logs its error only.
    if (options.source.type !== 'file') info(formatFlagsConfig(flags));
    if (isDefaultEtcd(options.source))
      info(
        'leases from etcd on this machine, as flanneld; --kube-subnet-mgr or --lease-file chooses another source',
      );
    checkPlatform(process.platform, process.arch);
    await checkPrivileges();
    await checkTun();
    const { runDaemon } = await import('../control/daemon.js');
    await runDaemon(options);
  },
);

const reload = flagCommand(
  'reload',
  {
    description: 'replace the running Weft without losing a packet',
    examples: [
      ['systemctl reload weft', 'service'],
      ['weft reload --lease-file leases.json --net-config-path net-conf.json', 'by hand'],
    ],
    shown: ['run-dir'],
    notes: [
      'The new process takes the flags of weft run, all of them. It stays in the',
      'background and logs to the same stderr. The command ends once it is ready.',
      'If it fails, the old one goes on.',
    ],
  },
  {},
  async (options) => {
    checkPlatform(process.platform, process.arch);
    const { reload } = await import('./reload.js');
    await reload(options.runDir);
  },
);

const doctor = flagCommand(
  'doctor',
  {
    description: 'check this node, with or without a running Weft, and its peers',
    examples: [
      ['weft doctor', 'while Weft runs: problems and remedies'],
      ['weft doctor --peers', 'which peers answer, and why not'],
      ['weft doctor --lease-file leases.json', 'before the start; flags of weft run'],
      ['weft doctor --json | jq .findings', 'for scripts'],
    ],
    shown: [...SOURCE_AND_UNDERLAY, 'run-dir'],
    notes: ['It changes nothing, and exits with 1 if there is an error.'],
  },
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
  {
    description: 'show problems, peers and traffic of the running Weft',
    examples: [
      ['weft status', 'the state of this node on one screen'],
      ['weft status --all', 'with every peer and every counter'],
      ['weft status --json | jq .counters', 'for scripts'],
    ],
  },
  {
    all: { type: 'boolean', row: ['--all', 'list every peer and every counter'] },
    json: { type: 'boolean', row: ['--json', 'print JSON'] },
  },
  async (runDir, { all, json }) => {
    const { printStatus } = await import('./status.js');
    await printStatus(runDir, { all: all === true, json: json === true });
  },
);

const capture = optionCommand(
  'capture',
  { description: 'show or record packets that Weft forwards and drops', examples: CAPTURE_EXAMPLES },
  CAPTURE_OPTIONS,
  async (runDir, values) => {
    const { capturePackets } = await import('./capture.js');
    await capturePackets(runDir, values);
  },
);

const top = optionCommand(
  'top',
  { description: 'watch the traffic of each peer, and drops as they occur', examples: TOP_EXAMPLES },
  TOP_OPTIONS,
  async (runDir, { interval }) => {
    const intervalMs = intervalOf(interval);
    const { showTop } = await import('./top/top.js');
    await showTop(runDir, intervalMs);
  },
);

const cleanup = optionCommand(
  'cleanup',
  {
    description: 'stop Weft; remove device, routes, rules and subnet.env',
    examples: [
      ['weft cleanup', 'a Weft that runs or was killed'],
      ['systemctl disable --now weft && weft cleanup', 'the service'],
      ['weft cleanup --run-dir /run/weft-2', 'another run directory'],
    ],
  },
  {
    'subnet-file': {
      type: 'string',
      row: ['--subnet-file <PATH>', 'subnet file to remove (default: the one that Weft wrote)'],
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

/** `weft` without a command. */
export const WEFT: Usage = {
  name: 'weft',
  description: "flannel's network in userspace, for nodes without the vxlan module",
  synopsis: 'weft COMMAND [OPTION]...',
  examples: [
    ['weft run --kube-subnet-mgr --ip-masq', 'run this node, in place of flanneld'],
    ['weft status', 'see whether it runs well'],
    ['weft doctor --peers', 'find out what is wrong, and what to do'],
    ['weft capture --drops', 'see which packets are lost'],
  ],
};

/** The options that stand without a command. */
export const OPTIONS: UsageGroup = { heading: 'Options:', rows: [['--version', 'print the version'], HELP] };
