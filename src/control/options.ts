/** The options of `weft run`, as the command line passes them to control. */

import type { AttachOptions, GsoRuns, OffloadLevel, PeerCheck } from '../dataplane/dataplane.js';
import type { PerFamily } from './addresses/family.js';

export interface RunOptions {
  source: SourceOptions;
  underlay: UnderlayOptions;
  health: HealthOptions;
  metrics: MetricsOptions;
  rules: RuleOptions;
  /** Whether a kernel vxlan device of the overlay's name is replaced, keeping its MAC, or an error. */
  adopt: boolean;
  /** Whether a running Weft of the same run directory hands over to this one, or is an error. */
  takeover: boolean;
  subnetFile: string;
  runDir: string;
  workers: number;
  /** `bpf`: the fast path must be possible; `auto`: it is used if it is. */
  offload: 'auto' | 'bpf' | OffloadLevel;
  /** How the fast path's programs are attached. */
  attach: AttachOptions;
  gsoTrains: GsoRuns;
  busyPoll: number;
  /** undefined: the backend's default, which is strict, or off if net-conf enables learning. */
  peerCheck: PeerCheck | undefined;
}

/** Where leases and the network configuration come from. */
export type SourceOptions = FileOptions | KubernetesOptions | EtcdOptions;

export interface FileOptions {
  type: 'file';
  leaseFile: string;
  netConfigPath: string;
}

export interface KubernetesOptions {
  type: 'kubernetes';
  netConfigPath: string;
  /** If this and `kubeconfigFile` are undefined, Weft uses the service account of its pod. */
  apiUrl: string | undefined;
  kubeconfigFile: string | undefined;
  annotationPrefix: string;
  /** Whether to clear the node condition NetworkUnavailable when the node forwards. */
  setNodeNetworkUnavailable: boolean;
  /** Where the VTEP MACs of this machine are stored. */
  runDir: string;
}

/** flanneld's default of --etcd-endpoints. */
export const DEFAULT_ETCD_ENDPOINTS = 'http://127.0.0.1:4001,http://127.0.0.1:2379';

/** Returns whether the leases come from etcd at these endpoints, which is often a forgotten flag. */
export function isDefaultEtcd(source: SourceOptions): boolean {
  return source.type === 'etcd' && source.endpoints.join() === DEFAULT_ETCD_ENDPOINTS;
}

export interface EtcdOptions {
  type: 'etcd';
  endpoints: string[];
  prefix: string;
  keyFile: string | undefined;
  certFile: string | undefined;
  caFile: string | undefined;
  username: string | undefined;
  password: string | undefined;
  /** How many minutes before its end the own lease is renewed, 1 to 1439. */
  renewMargin: number;
  /** Where the VTEP MACs of this machine are stored. */
  runDir: string;
}

/** The selection of the underlay interface and of the public addresses. */
export interface UnderlayOptions {
  /** Names or addresses, tried in this order. */
  iface: string[];
  /** Regular expressions over addresses, then names; tried after all of `iface`. */
  ifaceRegex: string[];
  /** An address; the interface is that of the kernel's route to it. */
  ifaceCanReach: string | undefined;
  /** The address that peers send to, of each family; absent: the interface's. */
  publicIp: PerFamily<string>;
}

/** The firewall rules and the blackhole route that a node gets. */
export interface RuleOptions {
  /** Whether pod traffic that leaves the pod network is masqueraded. */
  ipMasq: boolean;
  /** Whether masquerading uses random source ports where the kernel supports it. */
  fullyRandom: boolean;
  /** Seconds between two checks of the rules and the blackhole route. */
  resyncSeconds: number;
  /** Whether the firewall forwards pod traffic even if the policy of its chain is to drop. */
  forwardRules: boolean;
  /** Whether the pod subnet of this node gets a blackhole route. */
  blackholeRoute: boolean;
}

export interface HealthOptions {
  address: string;
  /** 0: disabled. */
  port: number;
}

export interface MetricsOptions {
  /** How many peers of a device have metrics of their own; those of all others are summed. */
  peers: number;
}
