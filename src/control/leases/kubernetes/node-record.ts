/** The fields of a Node that Weft uses. The other fields (images, managed fields) are about 10 KB per node. */

import { ANNOTATIONS, type Annotations } from './annotations.js';

export interface NodeRecord {
  name: string;
  /** Changes when the node is deleted and registered again. */
  uid: string;
  /** Time of the registration, in milliseconds; 0 if unknown. */
  createdAt: number;
  /** spec.podCIDRs, or spec.podCIDR if that list is empty. */
  podCidrs: readonly string[];
  annotations: Annotations;
  /** Status of the condition NetworkUnavailable: "True", "False" or "Unknown". */
  networkUnavailable: string | undefined;
  /** Whether the condition Ready is "True". A heartbeat changes only its times, which are no part of the record. */
  ready: boolean;
}

interface NodeObject {
  metadata?: {
    name?: string;
    uid?: string;
    creationTimestamp?: string;
    annotations?: Record<string, unknown>;
  };
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
  const list = listOf(spec?.podCIDRs).filter((cidr) => typeof cidr === 'string');
  const conditions = listOf(status?.conditions);
  const conditionOf = (name: string): string | undefined =>
    conditions.find((condition) => condition?.type === name)?.status;
  return {
    name: metadata.name,
    uid: metadata.uid ?? '',
    createdAt: Date.parse(String(metadata.creationTimestamp)) || 0,
    podCidrs:
      list.length === 0 && typeof spec?.podCIDR === 'string' && spec.podCIDR !== '' ? [spec.podCIDR] : list,
    annotations,
    networkUnavailable: conditionOf('NetworkUnavailable'),
    ready: conditionOf('Ready') === 'True',
  };
}

/** Returns a list; an empty one for any other value. */
function listOf<T>(value: readonly T[] | undefined): readonly T[] {
  return Array.isArray(value) ? value : [];
}
