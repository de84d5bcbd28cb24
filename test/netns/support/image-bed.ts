/** A cluster for the image: a node that runs it, a node with the kernel's vxlan, and an API server. */

import type { Test } from 'tap';
import { startKernel } from '../../../lab/dataplanes/kernel.js';
import type { Lab } from '../../../lab/lab.js';
import type { KubeApi } from '../../support/kube-api.js';
import { kubeNode, PREFIX, vxlanAnnotations } from '../../support/kube-nodes.js';
import { makeBed } from './bed.js';
import { SERVER_ADDRESS } from './cluster.js';
import type { PodPlace } from './container-spec.js';
import { annotationsOf, startApi, TOKEN } from './kube-cluster.js';
import { answered } from './pings.js';

export interface ImageBed {
  readonly lab: Lab;
  readonly api: KubeApi;
  /** What the kubelet of the first node knows. */
  readonly place: PodPlace;
}

/** Makes a cluster of two nodes: the first one is for the image, the second one has the kernel's vxlan. */
export async function makeImageBed(
  t: Test,
  name: string,
  configMaps: PodPlace['configMaps'],
): Promise<ImageBed> {
  const lab = await makeBed(t, { name, nodes: 3 });
  const [node, peer] = [lab.node(1), lab.node(2)];
  const api = await startApi(t, lab);
  await node.exec(['ip', 'route', 'add', 'default', 'via', SERVER_ADDRESS]);
  api.fill([
    kubeNode(node.name, [node.subnet]),
    kubeNode(peer.name, [peer.subnet], vxlanAnnotations(peer.address, peer.vtepMac)),
  ]);
  const [host = '', port = ''] = api.url.replace('https://', '').split(':');
  const place: PodPlace = {
    host: `${node.dir}/host`,
    fields: { 'spec.nodeName': node.name, 'metadata.name': 'weft-1', 'metadata.namespace': 'kube-system' },
    configMaps,
    env: { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port },
    serviceAccount: { token: TOKEN, 'ca.crt': api.ca, namespace: 'kube-system' },
  };
  return { lab, api, place };
}

/** Sets up the kernel's vxlan on the second node, and asserts that pods reach each other in both directions. */
export async function reachesKernel(t: Test, { lab, api }: ImageBed): Promise<void> {
  const node = lab.node(1);
  const { VtepMAC } = JSON.parse(annotationsOf(api, node.name)[`${PREFIX}backend-data`] ?? '{}');
  const lease = { ...node.lease(), BackendData: { VNI: 1, VtepMAC } };
  await startKernel(lab.node(2), { peers: [lease] });
  await answered(t, lab.pod(1), lab.pod(2).address, 'the pod of the kernel answers');
  await answered(t, lab.pod(2), lab.pod(1).address, 'the pod of Weft answers');
}
