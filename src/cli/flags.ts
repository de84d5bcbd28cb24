/** The flags of `weft run`, which `weft doctor` has too. */

import { bool, choice, codeLine, integer, list, path, text, type ValuesOf, vmodule } from './flag.js';

/** flannel's, each with its variable FLANNELD_<NAME>. */
export const FLANNEL_FLAGS = {
  'etcd-endpoints': text('http://127.0.0.1:4001,http://127.0.0.1:2379', 'URLS', 'etcd servers, by commas'),
  'etcd-prefix': text('/coreos.com/network', 'KEY', 'prefix of the keys in etcd'),
  'etcd-keyfile': text('', 'PATH', 'key of the client certificate for etcd'),
  'etcd-certfile': text('', 'PATH', 'client certificate for etcd'),
  'etcd-cafile': text('', 'PATH', 'certificates of the authorities that etcd is believed by'),
  'etcd-username': text('', 'NAME', 'user name for etcd'),
  'etcd-password': text('', 'WORD', 'password for etcd; better by its variable'),
  iface: list(
    'NAME',
    'underlay interface, by name or address; may be repeated, the first that exists is taken',
  ),
  'iface-regex': list(
    'REGEX',
    'the same by regular expression over addresses, then names; after every --iface',
  ),
  'iface-can-reach': text('', 'IP', 'underlay interface: the one this address is reached through'),
  'subnet-file': path('/run/flannel/subnet.env', 'where to write the subnet for the CNI plugin'),
  'public-ip': text('', 'IP', 'address that the other nodes send to'),
  'public-ipv6': text('', 'IP', 'IPv6 address that the other nodes send to'),
  'subnet-lease-renew-margin': integer(
    60,
    'MINUTES',
    'renew the lease in etcd so long before its end, 1 to 1439',
  ),
  'ip-masq': bool(false, 'masquerade traffic of pods that leaves the pod network'),
  'ip-masq-fully-random-disable': bool(false, 'masquerade without random ports'),
  'kube-subnet-mgr': bool(false, 'leases from Kubernetes, not from etcd'),
  'kube-api-url': text('', 'URL', 'Kubernetes API server'),
  'kube-annotation-prefix': text('flannel.alpha.coreos.com', 'PREFIX', "prefix of the nodes' annotations"),
  'kubeconfig-file': text('', 'PATH', 'how to reach Kubernetes, where it is not by the service account'),
  version: bool(false, 'print the version'),
  'healthz-ip': text('0.0.0.0', 'IP', 'address of the health endpoints'),
  'healthz-port': integer(0, 'PORT', 'TCP port of the health endpoints, 0 for none'),
  'iptables-resync': integer(5, 'SECONDS', 'look this often whether firewall rules are in place'),
  'iptables-forward-rules': bool(true, 'let the firewall forward traffic of pods'),
  'ip-blackhole-route': bool(false, 'keep a blackhole route for the subnet of this node'),
  'net-config-path': path('/etc/kube-flannel/net-conf.json', 'network configuration, unless it is in etcd'),
  'set-node-network-unavailable': bool(true, "clear the node's condition NetworkUnavailable"),
  v: integer(0, 'N', 'log more, up to 10'),
  vmodule: vmodule('log more of some files: * and ? over their names without ending'),
  log_backtrace_at: codeLine('add the stack to what this line logs'),
};

/** Weft's own. */
export const WEFT_FLAGS = {
  'lease-file': path(undefined, 'leases from this JSON file, which is watched; not from Kubernetes or etcd'),
  adopt: bool(false, 'take over from flanneld: replace the vxlan device that it has left'),
  'run-dir': path('/run/weft', 'directory of the control socket and state'),
  workers: integer(1, 'N', 'forwarding threads', [1, 64]),
  offload: choice('auto', ['auto', 'none', 'gso'], 'offload rung: the best this kernel can, or this one'),
  'busy-poll': integer(
    200,
    'US',
    'where packets follow closely, look for the next so many µs before blocking',
    [0, 10_000],
  ),
  'peer-check': choice(
    undefined,
    ['strict', 'mac', 'off'],
    "who may send: a lease's address with its MAC (udp: subnet), its MAC or subnet, anyone (default: strict; off with Learning)",
  ),
  'log-format': choice('klog', ['klog', 'json'], "log lines as flannel's, or JSON objects"),
};

export const RUN_FLAGS = { ...FLANNEL_FLAGS, ...WEFT_FLAGS };

export type RunFlags = ValuesOf<typeof RUN_FLAGS>;
export type RunFlag = keyof RunFlags;
