/** Strategic merge patch of nodes/<name>/status: annotations by key, null removes one; conditions by type. */

import type { KubeNode } from './kube-nodes.js';

interface StatusPatch {
  metadata?: { annotations?: Record<string, string | null> };
  status?: { conditions?: Record<string, string>[] };
}

export function mergeStatusPatch(node: KubeNode, body: string): KubeNode {
  const patch = JSON.parse(body) as StatusPatch;
  const merged = structuredClone(node);
  const annotations = { ...merged.metadata.annotations };
  for (const [key, value] of Object.entries(patch.metadata?.annotations ?? {})) {
    if (value === null) delete annotations[key];
    else annotations[key] = value;
  }
  merged.metadata.annotations = annotations;
  const conditions = merged.status.conditions ?? [];
  for (const condition of patch.status?.conditions ?? []) {
    const known = conditions.find(({ type }) => type === condition.type);
    if (known === undefined) conditions.push(condition);
    else Object.assign(known, condition);
  }
  merged.status.conditions = conditions;
  return merged;
}
