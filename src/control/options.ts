/** What `weft run` was asked for, as the command line hands it to control. */

import type { Rung } from '../dataplane/offload/level.js';
import type { PeerCheck } from '../dataplane/tunnel/vxlan.js';
import type { PerFamily } from './addresses/family.js';

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
  offload: 'auto' | Rung;
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
  /** The address that peers send to, of each family; absent: the interface's. */
  publicIp: PerFamily<string>;
}

/** What of the firewall and of routes is to be held beside the tunnel's own. */
export interface RuleOptions {
  /** Whether pods' traffic that leaves the cluster is to be masqueraded. */
  ipMasq: boolean;
  /** Whether masquerading takes random ports, where the kernel can. */
  fullyRandom: boolean;
  /** Seconds between two looks at whether rules and blackhole route are in place. */
  resyncSeconds: number;
  /** Whether the firewall is told to forward the pods' traffic. */
  forwardRules: boolean;
  /** Whether this node's pod subnet gets a blackhole route. */
  blackholeRoute: boolean;
}

export interface HealthOptions {
  address: string;
  /** 0: off. */
  port: number;
}
