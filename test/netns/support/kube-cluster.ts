/** Weft processes with leases from Kubernetes: the API server is the tests' own, the rest is real. */

import { mkdir, writeFile } from 'node:fs/promises';
import type { Test } from 'tap';
import type { Lab } from '../../../lab/lab.js';
import type { NetConf } from '../../../lab/leases.js';
import type { LabNode } from '../../../lab/node.js';
import { KubeApi } from '../../support/kube-api.js';
import { type KubeNode, kubeNode, vxlanAnnotations } from '../../support/kube-nodes.js';
import { joinUnderlay, type Member, SERVER_ADDRESS, startMember } from './cluster.js';
import { base6, underlay6, vtepMac6 } from './dual-bed.js';

export const TOKEN = 'a-token-of-the-service-account';

export interface ClusterStart {
  readonly env?: NodeJS.ProcessEnv;
  readonly flags?: readonly string[];
}

export interface KubeCluster {
  readonly api: KubeApi;
  /** Starts Weft on a node of the lab, which has the same name in Kubernetes. */
  start(t: Test, index: number, options?: ClusterStart): Promise<Member>;
}

/** Starts an API server for a lab with three nodes or more; the end of the test stops it. */
export async function startApi(t: Test, lab: Lab): Promise<KubeApi> {
  await joinUnderlay(t, lab);
  const dir = `${lab.dir}/api`;
  await mkdir(dir);
  const api = await KubeApi.start(dir, SERVER_ADDRESS);
  t.teardown(() => api.stop().catch(() => undefined));
  api.token = TOKEN;
  return api;
}

/** Starts an API server, and returns how Weft starts with its leases. */
export async function makeCluster(t: Test, lab: Lab, netConf: NetConf): Promise<KubeCluster> {
  const api = await startApi(t, lab);
  const kubeconfig = api.writeKubeconfig({ token: TOKEN });
  const netConfPath = `${lab.dir}/net-conf.json`;
  await writeFile(netConfPath, JSON.stringify(netConf));
  const files = [`--kubeconfig-file=${kubeconfig}`, `--net-config-path=${netConfPath}`];
  const start: KubeCluster['start'] = (t, index, { env = { NODE_NAME: `node${index}` }, flags = [] } = {}) =>
    startMember(t, lab.node(index), ['--kube-subnet-mgr', ...files, '--healthz-port=8081', ...flags], {
      env,
    });
  return { api, start };
}

export function annotationsOf(api: KubeApi, name: string): Record<string, string> {
  return api.nodes.get(name)?.metadata.annotations ?? {};
}

/** Returns the annotations of a node of both families with the lab's MACs; undefined in `more` removes one. */
export function dualAnnotations(
  node: LabNode,
  more: Record<string, string | undefined> = {},
): Record<string, string> {
  return vxlanAnnotations(node.address, node.vtepMac, {
    'backend-v6-data': `{"VNI":1,"VtepMAC":"${vtepMac6(node)}"}`,
    'public-ipv6': underlay6(node),
    ...more,
  });
}

/** Returns a node of the lab in Kubernetes' form, with a pod CIDR of each family. */
export function dualNode(node: LabNode, annotations: Record<string, string> = {}): KubeNode {
  return kubeNode(node.name, [node.subnet, `${base6(node)}/64`], annotations);
}
