/** Failed calls to etcd. */

import type { EtcdOptions } from '../../options.js';
import { show } from '../../support/user-error.js';
import { explainTlsError, type TlsOrigins, withoutOpensslDetails } from '../tls-error.js';
import { type ServiceError, status } from './library.js';

/** gRPC codes of etcd's own answers; another endpoint would answer the same. */
const ANSWERS = new Set<number>([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.PERMISSION_DENIED,
  status.RESOURCE_EXHAUSTED,
  status.FAILED_PRECONDITION,
  status.OUT_OF_RANGE,
  status.UNAUTHENTICATED,
]);

/** A failed call; the message names the endpoint and contains no password. */
export class EtcdError extends Error {
  /** gRPC status code. */
  readonly code: number;
  /** etcd's own words. */
  readonly details: string;

  constructor(message: string, code: number, details = message) {
    super(message);
    this.name = 'EtcdError';
    this.code = code;
    this.details = details;
  }

  /** For the log: a failure of another kind is logged at once. */
  get kind(): string {
    return /TLS/.test(this.message) ? `${this.code} TLS` : String(this.code);
  }

  /** Whether another endpoint may succeed. */
  get isOfEndpoint(): boolean {
    return !ANSWERS.has(this.code);
  }

  /** Whether a new token may help: tokens expire after minutes, and when etcd restarts. */
  get isOfToken(): boolean {
    return (
      this.code === status.UNAUTHENTICATED ||
      /user name is empty|auth store is old|invalid auth token/.test(this.details)
    );
  }

  /** Whether etcd has no users, and so needs no token. */
  get isWithoutUsers(): boolean {
    return /authentication is not enabled/.test(this.details);
  }
}

/** Returns the error of a call to `endpoint`, with a remedy where one is known. */
export function etcdErrorFrom(error: ServiceError, endpoint: string, options: EtcdOptions): EtcdError {
  const { code } = error;
  // Remove gRPC's wrapping around the system's error.
  const details = withoutOpensslDetails(
    error.details.replace(
      /^No connection established\. Last error: (?:Error: )?(.*?)(?: \([\d:.TZ-]+\))?\.? Resolution note: *$/s,
      '$1',
    ),
  );
  const { username, prefix } = options;
  const make = (message: string): EtcdError => new EtcdError(`etcd at ${endpoint} ${message}`, code, details);
  if (code === status.DEADLINE_EXCEEDED) return make('does not answer');
  if (code === status.PERMISSION_DENIED || /permission denied/.test(details)) {
    return make(
      `denies user ${show(username ?? '')} access to the keys under ${prefix}: ${details}; grant the user a role that reads and writes them`,
    );
  }
  if (/authentication failed/.test(details)) {
    return make(`refuses user ${show(username)}: ${details}; correct --etcd-username or --etcd-password`);
  }
  if (/user name is empty/.test(details)) {
    return make(`requires a user: ${details}; set --etcd-username and --etcd-password`);
  }
  if (ANSWERS.has(code)) return make(`answers: ${details}`);
  const remedy = explainTlsError(details, originsOf(options));
  if (remedy !== undefined) return make(`fails TLS verification: ${details}; ${remedy}`);
  return make(`cannot be reached: ${details}; check that etcd runs and that --etcd-endpoints is right`);
}

function originsOf({ caFile, certFile, keyFile }: EtcdOptions): TlsOrigins {
  const hasPair = certFile !== undefined && keyFile !== undefined;
  return {
    ...(caFile === undefined
      ? { ca: "Node's own list", caRemedy: 'set --etcd-cafile' }
      : { ca: `--etcd-cafile ${caFile}` }),
    client: hasPair ? `--etcd-certfile ${certFile}` : undefined,
    clientRemedy: 'set --etcd-certfile and --etcd-keyfile',
  };
}
