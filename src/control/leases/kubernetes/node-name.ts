/** This node's name: from NODE_NAME, or of the node that runs this pod. */

import { quotesRemedy } from '../../support/quotes.js';
import { UserError } from '../../support/user-error.js';
import type { ApiClient } from './api-client.js';
import { ApiError, explainApiError } from './api-error.js';

/** @throws UserError in flannel's words; ApiError when a retry may help */
export async function findNodeName(client: ApiClient, signal: AbortSignal): Promise<string> {
  const { NODE_NAME: name, POD_NAME: pod, POD_NAMESPACE: namespace } = process.env;
  if (name) {
    const remedy = quotesRemedy(name);
    if (remedy !== undefined) throw new UserError(`NODE_NAME is ${name}: ${remedy}`);
    return name;
  }
  if (!pod || !namespace) {
    throw new UserError(
      'env variables POD_NAME and POD_NAMESPACE must be set; or set NODE_NAME: on a node to its name in "kubectl get nodes", in a pod from spec.nodeName',
    );
  }
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}`;
  const object = (await client.get(path, signal).catch((error: unknown) => {
    throw podError(`${namespace}/${pod}`, ApiError.from(error));
  })) as { spec?: { nodeName?: string } };
  if (!object.spec?.nodeName) {
    throw new UserError(
      `node name not present in pod spec '${namespace}/${pod}'; set NODE_NAME to the name of this node`,
    );
  }
  return object.spec.nodeName;
}

/** Most names in a message. */
const NAMES_SHOWN = 5;

/** Returns what Weft waits for while the cluster has no Node of this name. */
export function describeMissingNode(node: string, nodes: ReadonlyMap<string, unknown>): string {
  const names = [...nodes.keys()].sort();
  const more = names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : '';
  const shown =
    names.length === 0
      ? 'shows no node'
      : `does not show it, but ${names.slice(0, NAMES_SHOWN).join(', ')}${more}`;
  return `waiting for node "${node}": "kubectl get nodes" ${shown}; start its kubelet, or set NODE_NAME to the name of this node`;
}

function podError(pod: string, error: ApiError): Error {
  const { status } = error;
  const what = `error retrieving pod spec for '${pod}'`;
  if (status === 403) {
    return new UserError(
      `${what}: the server does not allow access to the requested resource (${error.message}); grant get on pods, or set NODE_NAME from spec.nodeName`,
    );
  }
  if (status === 404) {
    return new UserError(
      `${what}: ${error.message}; set POD_NAME and POD_NAMESPACE to name and namespace of Weft's own pod`,
    );
  }
  return error.explained(`${what}: ${explainApiError(error, 'get', 'pods')}`);
}
