/** What `weft run` was asked for, as the command line hands it to control. */

import type { OffloadLevel, PeerCheck } from '../dataplane/dataplane.js';

export interface RunOptions {
  source: SourceOptions;
  underlay: UnderlayOptions;
  health: HealthOptions;
  rules: RuleOptions;
  /** Whether a kernel vxlan device of the overlay's name is replaced, its MAC kept, or in the way. */
  adopt: boolean;
  subnetFile: string;
  runDir: string;
  workers: number;
  offload: 'auto' | OffloadLevel;
  busyPoll: number;
  /** undefined: the backend's own; strict, or off where net-conf asks for learning. */
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
  /** undefined, both: the service account of the pod that weft runs in. */
  apiUrl: string | undefined;
  kubeconfigFile: string | undefined;
  annotationPrefix: string;
  /** Whether to clear the node's condition NetworkUnavailable once it forwards. */
  setNodeNetworkUnavailable: boolean;
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
  /** Minutes before its end at which the own lease is renewed, 1 to 1439. */
  renewMargin: number;
}

/** Which interface the tunnel goes through, and what address the peers are told. */
export interface UnderlayOptions {
  /** Names or addresses, tried in this order. */
  iface: string[];
  /** Regular expressions over addresses, then names; tried after all of `iface`. */
  ifaceRegex: string[];
  /** An address: the interface the kernel would reach it through. */
  ifaceCanReach: string | undefined;
  publicIp: string | undefined;
  publicIpv6: string | undefined;
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
  /** 0: off. */
  port: number;
}
