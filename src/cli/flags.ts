/** The flags of `weft run` and `weft doctor`. */

import { DEFAULT_ETCD_ENDPOINTS } from '../control/options.js';
import { bool, choice, codeLine, integer, list, path, text, type ValuesOf, vmodule, word } from './flag.js';

/** flanneld's flags. Each also has an environment variable, FLANNELD_<NAME>. */
export const FLANNEL_FLAGS = {
  'etcd-endpoints': text(DEFAULT_ETCD_ENDPOINTS, 'URLS', 'etcd servers, separated by commas'),
  'etcd-prefix': text('/coreos.com/network', 'KEY', 'prefix of the keys in etcd'),
  'etcd-keyfile': text('', 'PATH', 'key of the client certificate for etcd'),
  'etcd-certfile': text('', 'PATH', 'client certificate for etcd'),
  'etcd-cafile': text('', 'PATH', 'CA certificates that verify etcd'),
  'etcd-username': text('', 'NAME', 'user name for etcd'),
  'etcd-password': word(
    '',
    'WORD',
    'password for etcd; set the variable instead, because the process list shows flags',
  ),
  iface: list('NAME', 'underlay interface, by name or address; repeatable, the first that exists is used'),
  'iface-regex': list(
    'REGEX',
    'underlay interface, by regular expression over addresses, then names; repeatable, tried after --iface',
  ),
  'iface-can-reach': text(
    '',
    'IP',
    'underlay interface: the one through which the kernel reaches this address',
  ),
  'subnet-file': path('/run/flannel/subnet.env', 'file with the subnet, for the CNI plugin'),
  'public-ip': text('', 'IP', 'address that the other nodes send to'),
  'public-ipv6': text('', 'IP', 'IPv6 address that the other nodes send to'),
  'subnet-lease-renew-margin': integer(
    60,
    'MINUTES',
    'minutes before its expiry at which the lease in etcd is renewed, 1 to 1439',
  ),
  'ip-masq': bool(false, 'masquerade pod traffic that leaves the pod network'),
  'ip-masq-fully-random-disable': bool(false, 'masquerade without random source ports'),
  'kube-subnet-mgr': bool(false, 'read the leases from Kubernetes, not from etcd'),
  'kube-api-url': text('', 'URL', 'Kubernetes API server'),
  'kube-annotation-prefix': text('flannel.alpha.coreos.com', 'PREFIX', "prefix of the nodes' annotations"),
  'kubeconfig-file': text(
    '',
    'PATH',
    "kubeconfig file; without it and --kube-api-url: the pod's service account",
  ),
  version: bool(false, 'print the version'),
  'healthz-ip': text('0.0.0.0', 'IP', 'address of the health endpoints'),
  'healthz-port': integer(0, 'PORT', 'TCP port of the health endpoints; 0 or less: disabled'),
  'iptables-resync': integer(5, 'SECONDS', 'interval of the checks of the firewall rules'),
  'iptables-forward-rules': bool(true, 'accept forwarded pod traffic in the firewall'),
  'ip-blackhole-route': bool(false, "keep a blackhole route for this node's subnet"),
  'net-config-path': path(
    '/etc/kube-flannel/net-conf.json',
    'network configuration; with etcd, the key `config` replaces it',
  ),
  'set-node-network-unavailable': bool(
    true,
    'clear the node condition NetworkUnavailable when the node forwards',
  ),
  v: integer(0, 'N', 'verbosity of the log, 0 to 10'),
  vmodule: vmodule('verbosity for files whose name without `.js` matches; `*` and `?` are wildcards'),
  log_backtrace_at: codeLine('add a stack trace to the messages that this line logs'),
};

/** Flags that only Weft has. */
export const WEFT_FLAGS = {
  'lease-file': path(
    undefined,
    'JSON file with the leases of all nodes; watched; replaces Kubernetes and etcd',
  ),
  adopt: bool(false, 'take over from flanneld; replaces its vxlan device and keeps the MAC'),
  takeover: bool(false, 'replace the Weft of --run-dir without losing a packet; start if none runs'),
  'run-dir': path('/run/weft', 'directory of socket and state'),
  workers: integer(1, 'N', 'forwarding threads, 1 to 64', [1, 64]),
  offload: choice(
    'auto',
    ['auto', 'none', 'gso', 'bpf'],
    'offload level: auto (best supported), none, gso, or bpf (programs in the kernel forward known packets)',
  ),
  'gso-trains': choice(
    'auto',
    ['auto', 'off'],
    'whether the kernel cuts runs of datagrams (GSO): auto (where it does so correctly) or off',
  ),
  'busy-poll': integer(
    200,
    'US',
    'µs to keep polling under dense traffic before blocking, 0 to 10000',
    [0, 10_000],
  ),
  'peer-check': choice(
    undefined,
    ['strict', 'mac', 'off'],
    'accept packets whose source address and MAC belong to one lease (strict), whose MAC belongs to a lease (mac), or all (off); udp checks the subnet instead of the MAC (default: strict; off with Learning)',
  ),
  'metrics-peers': integer(
    500,
    'N',
    'peers with metrics of their own at /metrics of the health endpoints; all others are summed',
    [0, 100_000],
  ),
  'log-format': choice('klog', ['klog', 'json'], "format of the log: flanneld's lines or JSON objects"),
};

/** Flags that only `weft doctor` has. */
export const DOCTOR_FLAGS = {
  peers: bool(false, 'probe the way to every peer; tests the tunnel and the network underneath it'),
  json: bool(false, 'print JSON'),
};

export const RUN_FLAGS = { ...FLANNEL_FLAGS, ...WEFT_FLAGS };
export type RunFlags = ValuesOf<typeof RUN_FLAGS>;
export type RunFlag = keyof RunFlags;
