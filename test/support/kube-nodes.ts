/** Node objects. */

export interface KubeNode {
  metadata: {
    name: string;
    uid: string;
    resourceVersion?: string;
    annotations?: Record<string, string>;
    [key: string]: unknown;
  };
  spec: { podCIDR?: string; podCIDRs?: string[]; [key: string]: unknown };
  status: { conditions?: Record<string, string>[]; [key: string]: unknown };
}

export const PREFIX = 'flannel.alpha.coreos.com/';

/** Returns the annotations of a vxlan node; undefined in `more` removes one. */
export function vxlanAnnotations(
  publicIp: string,
  mac: string,
  more: Record<string, string | undefined> = {},
): Record<string, string> {
  const all = {
    'backend-data': `{"VNI":1,"VtepMAC":"${mac}"}`,
    'backend-type': 'vxlan',
    'kube-subnet-manager': 'true',
    'public-ip': publicIp,
    ...more,
  };
  const given = Object.entries(all).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [PREFIX + name, value as string]));
}

/** Returns a small node; another `uid` means another registration of the same name. */
export function kubeNode(
  name: string,
  podCidrs: string[],
  annotations: Record<string, string> = {},
  uid = `uid-of-${name}`,
): KubeNode {
  const [podCIDR] = podCidrs;
  return {
    metadata: { name, uid, annotations },
    spec: podCIDR === undefined ? {} : { podCIDR, podCIDRs: podCidrs },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  };
}

/** Returns node `index` of a vxlan cluster: 10.<100 + high>.<low>.0/24 at 172.16.<high>.<low>. */
export function peerNode(index: number, more: Record<string, string | undefined> = {}): KubeNode {
  const [high, low] = [index >> 8, index & 255];
  const mac = `02:00:00:00:${high.toString(16).padStart(2, '0')}:${low.toString(16).padStart(2, '0')}`;
  return kubeNode(
    `node-${index}`,
    [`10.${100 + high}.${low}.0/24`],
    vxlanAnnotations(`172.16.${high}.${low}`, mac, more),
  );
}

/** Returns the same node with the fields of a real cluster, about 12 KB as JSON. */
export function realisticNode(index: number): KubeNode {
  const node = peerNode(index);
  const { name } = node.metadata;
  Object.assign(node.metadata.annotations as object, {
    'node.alpha.kubernetes.io/ttl': '300',
    'volumes.kubernetes.io/controller-managed-attach-detach': 'true',
    'csi.volume.kubernetes.io/nodeid': JSON.stringify({
      'ebs.csi.example.com': `i-${index}`.padEnd(20, '0'),
    }),
  });
  node.metadata.labels = Object.fromEntries(
    Array.from({ length: 20 }, (_, label) => [
      `topology.example.com/label-${label}`,
      `value-${label}-of-${name}`,
    ]),
  );
  const fields = Object.fromEntries(
    Array.from({ length: 55 }, (_, field) => [
      `f:field-of-some-length-${field}`,
      { '.': {}, [`f:${name}`]: {} },
    ]),
  );
  node.metadata.managedFields = ['kubelet', 'kube-controller-manager'].map((manager) => ({
    manager,
    operation: 'Update',
    apiVersion: 'v1',
    time: '2026-11-21T07:13:32Z',
    fieldsType: 'FieldsV1',
    fieldsV1: { 'f:status': fields },
  }));
  node.status.images = Array.from({ length: 25 }, (_, image) => ({
    names: [
      `registry.example.com/team/some-application-${image}@sha256:${String(image).padStart(64, 'a')}`,
      `registry.example.com/team/some-application-${image}:v1.2.${image}`,
    ],
    sizeBytes: 12_345_678 + image,
  }));
  return node;
}
