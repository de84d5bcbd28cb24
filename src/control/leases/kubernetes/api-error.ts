/** What the API server refused, or why it could not be asked. */

/** A Retry-After beyond this is a mistake: nobody waits a day for his network. */
const LONGEST_RETRY_AFTER_S = 60;

export class ApiError extends Error {
  /** HTTP status; undefined when there was no answer. */
  readonly status: number | undefined;
  readonly retryAfterMs: number;

  /** `retryAfter`: the header of that name. */
  constructor(message: string, status?: number, retryAfter?: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    const seconds = /^\d+$/.test(retryAfter ?? '') ? Number(retryAfter) : 0;
    this.retryAfterMs = Math.min(seconds, LONGEST_RETRY_AFTER_S) * 1000;
  }
}

/** The message of the Status object that an error's body is; the status in words where it is something else. */
export function messageOf(body: string, fallback: string): string {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    if (typeof message === 'string' && message !== '') return message;
  } catch {
    // A proxy's HTML, say.
  }
  return fallback;
}

/** A sentence on a request that failed. `verb` and `resource` are what the ClusterRole has to grant for it. */
export function explainApiError(error: Error, verb: string, resource: string): string {
  const status = error instanceof ApiError ? error.status : undefined;
  const remedy = status === undefined ? UNREACHABLE : REMEDIES[status]?.(verb, resource);
  const message = error.message.trim();
  return remedy === undefined ? message : `${message}; ${remedy}`;
}

const UNREACHABLE = 'is the API server up, and its address the right one?';

const REMEDIES: Record<number, (verb: string, resource: string) => string> = {
  400: () => 'is this the address of a Kubernetes API server?',
  401: () => 'look at the service account token, or at the credentials in the kubeconfig file',
  403: (verb, resource) => `the ClusterRole has to grant ${verb} on ${resource}`,
  404: () => 'NODE_NAME has to be a name that "kubectl get nodes" shows',
  409: () => 'someone else changed the node at the same moment',
  415: () => 'is this the address of a Kubernetes API server?',
  422: () => 'look at --kube-annotation-prefix',
};
