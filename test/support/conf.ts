/** Settings as Weft has them when the operator sets nothing: flannel's defaults. */

import type { VxlanConf } from '../../src/control/config/net-conf.js';
import type { EtcdOptions, KubernetesOptions } from '../../src/control/options.js';

/** Backend vxlan. */
export const VXLAN: VxlanConf = {
  type: 'vxlan',
  vni: 1,
  port: 8472,
  outerMtu: undefined,
  learning: false,
  directRouting: false,
  gbp: false,
};

/** Leases from etcd. */
export const ETCD: EtcdOptions = {
  type: 'etcd',
  endpoints: ['http://127.0.0.1:4001', 'http://127.0.0.1:2379'],
  prefix: '/coreos.com/network',
  keyFile: undefined,
  certFile: undefined,
  caFile: undefined,
  username: undefined,
  password: undefined,
  renewMargin: 60,
  runDir: '/run/weft',
};

/** Leases from Kubernetes, in a pod. */
export const KUBERNETES: KubernetesOptions = {
  type: 'kubernetes',
  netConfigPath: '/etc/kube-flannel/net-conf.json',
  apiUrl: undefined,
  kubeconfigFile: undefined,
  annotationPrefix: 'flannel.alpha.coreos.com',
  setNodeNetworkUnavailable: true,
  runDir: '/run/weft',
};
