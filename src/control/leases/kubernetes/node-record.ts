/** The few fields of a Node that count here. The rest (images, managed fields) is some ten kilobytes a node, and let go. */

import { ANNOTATIONS, type Annotations } from './annotations.js';

export interface NodeRecord {
  name: string;
  /** Another one: the node was deleted and registered anew. */
  uid: string;
  /** spec.podCIDRs, or spec.podCIDR alone where there is no such list. */
  podCidrs: readonly string[];
  annotations: Annotations;
  /** Status of the condition NetworkUnavailable: "True", "False", "Unknown". */
  networkUnavailable: string | undefined;
}

interface NodeObject {
  metadata?: { name?: string; uid?: string; annotations?: Record<string, unknown> };
  spec?: { podCIDR?: string; podCIDRs?: string[] };
  status?: { conditions?: { type?: string; status?: string }[] };
}

/** The record of a Node as the API server sends it; undefined for what is no Node. */
export function recordOf(node: unknown, prefix: string): NodeRecord | undefined {
  const { metadata, spec, status } = (node ?? {}) as NodeObject;
  if (typeof metadata?.name !== 'string') return undefined;
  const annotations: Annotations = {};
  for (const name of ANNOTATIONS) {
    const value = metadata.annotations?.[prefix + name];
    if (typeof value === 'string') annotations[name] = value;
  }
  const list = spec?.podCIDRs ?? [];
  return {
    name: metadata.name,
    uid: metadata.uid ?? '',
    podCidrs: list.length === 0 && spec?.podCIDR ? [spec.podCIDR] : list,
    annotations,
    networkUnavailable: status?.conditions?.find(({ type }) => type === 'NetworkUnavailable')?.status,
  };
}

/** Both families count: of a dual-stack node mostly one of them changes. */
export function sameRecord(a: NodeRecord, b: NodeRecord): boolean {
  return (
    a.uid === b.uid &&
    a.networkUnavailable === b.networkUnavailable &&
    a.podCidrs.length === b.podCidrs.length &&
    a.podCidrs.every((cidr, index) => cidr === b.podCidrs[index]) &&
    ANNOTATIONS.every((name) => a.annotations[name] === b.annotations[name])
  );
}
