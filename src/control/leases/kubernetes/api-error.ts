/** Failed requests to the API server. */

/** Upper limit on Retry-After; a larger value is probably a mistake. */
const LONGEST_RETRY_AFTER_S = 60;

export class ApiError extends Error {
  /** HTTP status; undefined without a response. */
  readonly status: number | undefined;
  readonly retryAfterMs: number;
  /** What to do, if it depends on the credentials. */
  readonly remedy: string | undefined;

  /** @param retryAfter the header Retry-After */
  constructor(message: string, status?: number, retryAfter?: string, remedy?: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.remedy = remedy;
    const seconds = /^\d+$/.test(retryAfter ?? '') ? Number(retryAfter) : 0;
    this.retryAfterMs = Math.min(seconds, LONGEST_RETRY_AFTER_S) * 1000;
  }

  /** Returns an ApiError as it is; wraps any other error. */
  static from(error: unknown): ApiError {
    return error instanceof ApiError ? error : new ApiError((error as Error).message);
  }

  /** Returns the same failure with another message. */
  explained(message: string): ApiError {
    return new ApiError(message, this.status, String(this.retryAfterMs / 1000), this.remedy);
  }

  /** Returns the same failure with a remedy. */
  withRemedy(remedy: string): ApiError {
    return new ApiError(this.message, this.status, String(this.retryAfterMs / 1000), remedy);
  }
}

/** Returns the message of the Status object in an error's body, or `fallback` for any other body. */
export function messageOf(body: string, fallback: string): string {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    if (typeof message === 'string' && message !== '') return message;
  } catch {
    // A proxy answers with HTML.
  }
  return fallback;
}

/** Returns the message and a remedy. `verb` and `resource` name the rule of the ClusterRole that the request needs. */
export function explainApiError(error: ApiError, verb: string, resource: string): string {
  const { status } = error;
  const known = status === undefined ? unreachable(error) : REMEDIES[status]?.(verb, resource);
  const remedy = error.remedy ?? known;
  const message = error.message.trim();
  return remedy === undefined ? message : `${message}; ${remedy}`;
}

/** Returns the remedy for a server that did not answer. */
function unreachable({ message }: ApiError): string {
  return /\b(ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL|ENETDOWN)\b/.test(message)
    ? 'this node has no route there; Weft waits for the network (ip address, ip route)'
    : 'check that the API server runs and that its address is right';
}

const REMEDIES: Record<number, (verb: string, resource: string) => string> = {
  400: () => 'check that this is the address of a Kubernetes API server',
  403: (verb, resource) => `the ClusterRole must grant ${verb} on ${resource}`,
  404: () => 'NODE_NAME must be a name that "kubectl get nodes" shows',
  409: () => 'another client changed the node at the same moment',
  415: () => 'check that this is the address of a Kubernetes API server',
  422: () => 'check --kube-annotation-prefix',
};
