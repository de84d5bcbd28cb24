/** The fields of a Node that Weft uses. The other fields (images, managed fields) are about 10 KB per node. */

import { ANNOTATIONS, type Annotations } from './annotations.js';

export interface NodeRecord {
  name: string;
  /** Changes when the node is deleted and registered again. */
  uid: string;
  /** spec.podCIDRs, or spec.podCIDR if that list is empty. */
  podCidrs: readonly string[];
  annotations: Annotations;
  /** Status of the condition NetworkUnavailable: "True", "False" or "Unknown". */
  networkUnavailable: string | undefined;
}

interface NodeObject {
  metadata?: { name?: string; uid?: string; annotations?: Record<string, unknown> };
  spec?: { podCIDR?: string; podCIDRs?: string[] };
  status?: { conditions?: { type?: string; status?: string }[] };
}

/** Returns the record of a Node object; undefined for any other object. */
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
