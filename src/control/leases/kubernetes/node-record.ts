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

/** The fields of a Node, of any type. */
interface NodeObject {
  metadata?: Partial<Record<'name' | 'uid' | 'creationTimestamp', unknown>> & {
    annotations?: Record<string, unknown> | null;
  };
  spec?: { podCIDR?: unknown; podCIDRs?: unknown } | null;
  status?: { conditions?: unknown } | null;
}

/** Returns the record of a Node object; undefined for any other object. A field of a wrong type counts as missing. */
export function recordOf(node: unknown, prefix: string): NodeRecord | undefined {
  const { metadata, spec, status } = (node ?? {}) as NodeObject;
  if (typeof metadata?.name !== 'string') return undefined;
  const annotations: Annotations = {};
  for (const name of ANNOTATIONS) {
    const value = metadata.annotations?.[prefix + name];
    if (typeof value === 'string') annotations[name] = value;
  }
  const list = listOf(spec?.podCIDRs).filter(isString);
  const conditions = listOf(status?.conditions) as ({ type?: unknown; status?: unknown } | null)[];
  const conditionOf = (name: string): string | undefined =>
    stringIn(conditions.find((condition) => condition?.type === name)?.status);
  return {
    name: metadata.name,
    uid: stringIn(metadata.uid) ?? '',
    createdAt: Date.parse(stringIn(metadata.creationTimestamp) ?? '') || 0,
    podCidrs: list.length === 0 && isString(spec?.podCIDR) && spec.podCIDR !== '' ? [spec.podCIDR] : list,
    annotations,
    networkUnavailable: conditionOf('NetworkUnavailable'),
    ready: conditionOf('Ready') === 'True',
  };
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function stringIn(value: unknown): string | undefined {
  return isString(value) ? value : undefined;
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
