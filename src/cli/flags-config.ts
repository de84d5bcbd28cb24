/** flanneld's first log line: all its flags, as Go prints the struct that it keeps them in. */

import type { RunFlag, RunFlags } from './flags.js';

/** The struct's fields in their order, and the flag of each. */
const FIELDS: readonly (readonly [field: string, flag: RunFlag])[] = [
  ['etcdEndpoints', 'etcd-endpoints'],
  ['etcdPrefix', 'etcd-prefix'],
  ['etcdKeyfile', 'etcd-keyfile'],
  ['etcdCertfile', 'etcd-certfile'],
  ['etcdCAFile', 'etcd-cafile'],
  ['etcdUsername', 'etcd-username'],
  ['etcdPassword', 'etcd-password'],
  ['version', 'version'],
  ['kubeSubnetMgr', 'kube-subnet-mgr'],
  ['kubeApiUrl', 'kube-api-url'],
  ['kubeAnnotationPrefix', 'kube-annotation-prefix'],
  ['kubeConfigFile', 'kubeconfig-file'],
  ['iface', 'iface'],
  ['ifaceRegex', 'iface-regex'],
  ['ipMasq', 'ip-masq'],
  ['ipMasqRandomFullyDisable', 'ip-masq-fully-random-disable'],
  ['ifaceCanReach', 'iface-can-reach'],
  ['subnetFile', 'subnet-file'],
  ['publicIP', 'public-ip'],
  ['publicIPv6', 'public-ipv6'],
  ['subnetLeaseRenewMargin', 'subnet-lease-renew-margin'],
  ['healthzIP', 'healthz-ip'],
  ['healthzPort', 'healthz-port'],
  ['iptablesResyncSeconds', 'iptables-resync'],
  ['iptablesForwardRules', 'iptables-forward-rules'],
  ['blackholeRoute', 'ip-blackhole-route'],
  ['netConfPath', 'net-config-path'],
  ['setNodeNetworkUnavailable', 'set-node-network-unavailable'],
];

const HIDDEN = '***';

/** What a person may see of a flag's value: flannel shows the password too. */
function shown(flag: RunFlag, value: RunFlags[RunFlag]): string {
  if (Array.isArray(value)) return `[${value.join(' ')}]`;
  const text = String(value);
  if (flag === 'etcd-password') return text === '' ? '' : HIDDEN;
  if (flag === 'etcd-endpoints' || flag === 'kube-api-url') return withoutUserInfo(text);
  return text;
}

/**
 * URLs by commas, each without its `user:password@`. A password may hold a comma, a slash or an @ that should have been
 * escaped: a new URL begins where a scheme does, and all before its last @ goes.
 */
function withoutUserInfo(urls: string): string {
  return urls
    .split(/,(?=\s*[a-z][a-z\d+.-]*:\/\/)/i)
    .map((url) => url.replace(/^(\s*[a-z][a-z\d+.-]*:\/\/)?.*@/is, `$1${HIDDEN}@`))
    .join(',');
}

export function formatFlagsConfig(flags: RunFlags): string {
  return `CLI flags config: {${FIELDS.map(([field, flag]) => `${field}:${shown(flag, flags[flag])}`).join(' ')}}`;
}
