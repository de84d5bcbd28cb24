/** flanneld's first log line: all its flags, in Go's format of the struct that has them. */

import type { RunFlag, RunFlags } from './flags.js';

/** The fields of the struct in order, each with its flag. */
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

/** Formats a flag's value without secrets; flannel logs the password too. */
function shown(flag: RunFlag, value: RunFlags[RunFlag]): string {
  if (Array.isArray(value)) return `[${value.join(' ')}]`;
  const text = String(value);
  if (flag === 'etcd-password') return text === '' ? '' : HIDDEN;
  if (flag === 'etcd-endpoints' || flag === 'kube-api-url') return withoutUserInfo(text);
  return text;
}

/**
 * Removes `user:password@` from each of the URLs, which are separated by commas. A password may contain an unescaped comma,
 * slash or @: a new URL begins only with a scheme, and everything before its last @ is removed.
 */
export function withoutUserInfo(urls: string): string {
  return urls
    .split(/,(?=\s*[a-z][a-z\d+.-]*:\/\/)/i)
    .map((url) => url.replace(/^(\s*[a-z][a-z\d+.-]*:\/\/)?.*@/is, `$1${HIDDEN}@`))
    .join(',');
}

export function formatFlagsConfig(flags: RunFlags): string {
  return `CLI flags config: {${FIELDS.map(([field, flag]) => `${field}:${shown(flag, flags[flag])}`).join(' ')}}`;
}
