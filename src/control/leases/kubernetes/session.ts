import type { ApiClient } from './api-client.js';
import type { NodeReflector } from './reflector.js';

/** An open connection to the cluster. */
export interface KubernetesSession {
  client: ApiClient;
  /** Prefix of the annotations. */
  prefix: string;
  /** Name of this node. */
  node: string;
  reflector: NodeReflector;
  /** Time, by performance.now(), until which this node may be missing from the list. */
  deadline: number;
}
