/** Converts the flags of `weft run` to the options of control. */

import { attachOptions } from '../control/attach-options.js';
import type { EtcdOptions, KubernetesOptions, RunOptions, SourceOptions } from '../control/options.js';
import { show, UserError } from '../control/support/user-error.js';
import type { RunFlags } from './flags.js';
import { UsageError } from './go-flags.js';

/** flannel's limit for --subnet-lease-renew-margin: a lease in etcd lasts one day. */
const MAX_RENEW_MARGIN = 24 * 60 - 1;

/** The longest time of a Node timer: 2^31 - 1 ms. */
const MAX_RESYNC_S = Math.floor((2 ** 31 - 1) / 1000);

/**
 * Converts flags; `given` has the names of those on the command line.
 * @throws UsageError for flags that exclude each other, UserError for an invalid value
 */
export function runOptions(flags: RunFlags, given: ReadonlySet<string>): RunOptions {
  const renewMargin = flags['subnet-lease-renew-margin'];
  // flannel checks this, in these words, for every lease source.
  if (renewMargin < 1 || renewMargin > MAX_RENEW_MARGIN) {
    throw new UserError(
      `Invalid subnet-lease-renew-margin option, out of acceptable range: ${renewMargin}; it must be from 1 to ${MAX_RENEW_MARGIN} minutes`,
    );
  }
  return {
    source: sourceOptions(flags, given),
    underlay: {
      iface: flags.iface.filter(Boolean),
      ifaceRegex: flags['iface-regex'].filter(Boolean),
      ifaceCanReach: flags['iface-can-reach'] || undefined,
      publicIp: { ipv4: flags['public-ip'] || undefined, ipv6: flags['public-ipv6'] || undefined },
    },
    health: { address: flags['healthz-ip'], port: Math.max(flags['healthz-port'], 0) },
    metrics: { peers: flags['metrics-peers'] },
    rules: {
      ipMasq: flags['ip-masq'],
      fullyRandom: !flags['ip-masq-fully-random-disable'],
      resyncSeconds: Math.min(Math.max(flags['iptables-resync'], 1), MAX_RESYNC_S),
      forwardRules: flags['iptables-forward-rules'],
      blackholeRoute: flags['ip-blackhole-route'],
    },
    adopt: flags.adopt,
    takeover: flags.takeover,
    subnetFile: flags['subnet-file'],
    runDir: flags['run-dir'],
    workers: flags.workers,
    offload: flags.offload,
    attach: attachOptions(process.env),
    gsoTrains: flags['gso-trains'],
    busyPoll: flags['busy-poll'],
    peerCheck: flags['peer-check'],
  };
}

/** Chooses the lease source. A lease file overrides the environment, because only a flag can name one. */
function sourceOptions(flags: RunFlags, given: ReadonlySet<string>): SourceOptions {
  const leaseFile = flags['lease-file'];
  if (leaseFile !== undefined) {
    const other = [...given].find(
      (name) => name.startsWith('etcd-') || (name === 'kube-subnet-mgr' && flags[name]),
    );
    if (other !== undefined) {
      throw new UsageError(`--lease-file and --${other} are two sources of leases; give only one of them`);
    }
    return { type: 'file', leaseFile, netConfigPath: flags['net-config-path'] };
  }
  return flags['kube-subnet-mgr'] ? kubernetesOptions(flags) : etcdOptions(flags);
}

function kubernetesOptions(flags: RunFlags): KubernetesOptions {
  return {
    type: 'kubernetes',
    netConfigPath: flags['net-config-path'],
    apiUrl: flags['kube-api-url'] || undefined,
    kubeconfigFile: flags['kubeconfig-file'] || undefined,
    annotationPrefix: flags['kube-annotation-prefix'],
    setNodeNetworkUnavailable: flags['set-node-network-unavailable'],
    runDir: flags['run-dir'],
  };
}

function etcdOptions(flags: RunFlags): EtcdOptions {
  const endpoints = flags['etcd-endpoints']
    .split(',')
    .map((endpoint) => endpoint.trim())
    .filter((endpoint) => endpoint !== '');
  if (endpoints.length === 0) {
    throw new UserError(
      `--etcd-endpoints ${show(flags['etcd-endpoints'])}: contains no address; give the URLs of the etcd servers, separated by commas`,
    );
  }
  return {
    type: 'etcd',
    endpoints,
    prefix: flags['etcd-prefix'],
    keyFile: flags['etcd-keyfile'] || undefined,
    certFile: flags['etcd-certfile'] || undefined,
    caFile: flags['etcd-cafile'] || undefined,
    username: flags['etcd-username'] || undefined,
    password: flags['etcd-password'] || undefined,
    renewMargin: flags['subnet-lease-renew-margin'],
    runDir: flags['run-dir'],
  };
}
