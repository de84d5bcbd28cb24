/** The Kubernetes manifests of deploy/, as the tests read them. */

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** dist/test/support/manifests.js → repository */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

export const KUBERNETES = join(ROOT, 'deploy/kubernetes');

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Record<string, string>;
  };
}

export interface VolumeMount {
  readonly name: string;
  readonly mountPath: string;
  readonly readOnly?: boolean;
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly env?: readonly { readonly name: string }[];
  readonly volumeMounts: readonly VolumeMount[];
  readonly readinessProbe?: { readonly httpGet: { host: string; port: number; path: string } };
  readonly securityContext?: {
    readonly capabilities: { readonly drop: readonly string[]; readonly add: readonly string[] };
  };
}

export interface Volume {
  readonly name: string;
  readonly hostPath?: { readonly path: string; readonly type: string };
  readonly configMap?: { readonly name: string };
}

export interface PodSpec {
  readonly initContainers: readonly Container[];
  readonly containers: readonly [Container];
  readonly volumes: readonly Volume[];
  readonly nodeSelector: Record<string, string>;
  readonly serviceAccountName: string;
}

interface DaemonSet extends Manifest {
  readonly spec: { readonly template: { readonly spec: PodSpec } };
}

interface ConfigMap extends Manifest {
  readonly data: Record<string, string>;
}

/** Renders a folder of deploy/kubernetes: `base` or `overlays/kubeadm`. @throws Error */
export async function rendered(folder: string): Promise<Manifest[]> {
  // A script, which has no types.
  const { render } = (await import(join(ROOT, 'scripts/kustomize.mjs'))) as {
    render: (folder: string) => Manifest[];
  };
  return render(join(KUBERNETES, folder));
}

/** Returns the pods that the DaemonSet makes. */
export function podOf(manifests: readonly Manifest[]): PodSpec {
  const daemonSet = manifests.find(({ kind }) => kind === 'DaemonSet') as DaemonSet;
  return daemonSet.spec.template.spec;
}

/** Returns the files of the ConfigMap; undefined without one. */
export function configOf(manifests: readonly Manifest[]): Record<string, string> | undefined {
  return (manifests.find(({ kind }) => kind === 'ConfigMap') as ConfigMap | undefined)?.data;
}
