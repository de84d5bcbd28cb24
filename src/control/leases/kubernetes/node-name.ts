/** This node's name: given, or that of the node that this pod runs on. */

import { UserError } from '../../support/user-error.js';
import type { ApiClient } from './api-client.js';
import { ApiError, explainApiError } from './api-error.js';

/** @throws UserError in flannel's words; ApiError when asking again may help */
export async function findNodeName(client: ApiClient, signal: AbortSignal): Promise<string> {
  const { NODE_NAME: name, POD_NAME: pod, POD_NAMESPACE: namespace } = process.env;
  if (name) return name;
  if (!pod || !namespace) {
    throw new UserError(
      'env variables POD_NAME and POD_NAMESPACE must be set; set them from metadata.name and metadata.namespace, or NODE_NAME from spec.nodeName',
    );
  }
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}`;
  const object = (await client.get(path, signal).catch((error: Error) => {
    throw podError(`${namespace}/${pod}`, error);
  })) as { spec?: { nodeName?: string } };
  if (!object.spec?.nodeName) {
    throw new UserError(
      `node name not present in pod spec '${namespace}/${pod}'; set NODE_NAME to the name of this node`,
    );
  }
  return object.spec.nodeName;
}

function podError(pod: string, error: Error): Error {
  const status = error instanceof ApiError ? error.status : undefined;
  const what = `error retrieving pod spec for '${pod}'`;
  if (status === 403) {
    return new UserError(
      `${what}: the server does not allow access to the requested resource (${error.message}); grant get on pods, or set NODE_NAME from spec.nodeName`,
    );
  }
  if (status === 404) {
    return new UserError(
      `${what}: ${error.message}; POD_NAME and POD_NAMESPACE have to be those of weft's own pod`,
    );
  }
  const { retryAfterMs } = error instanceof ApiError ? error : new ApiError(error.message);
  return Object.assign(new ApiError(`${what}: ${explainApiError(error, 'get', 'pods')}`, status), {
    retryAfterMs,
  });
}
