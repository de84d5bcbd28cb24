/** What went wrong with etcd, in a sentence for people. */

import type { EtcdOptions } from '../../options.js';
import { show } from '../../support/user-error.js';
import { type ServiceError, status } from './library.js';

/** Codes by which etcd itself has answered: another endpoint would say the same. */
const ANSWERS = new Set<number>([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.PERMISSION_DENIED,
  status.RESOURCE_EXHAUSTED,
  status.FAILED_PRECONDITION,
  status.OUT_OF_RANGE,
  status.UNAUTHENTICATED,
]);

/** The message names the endpoint and holds no password. */
export class EtcdError extends Error {
  /** gRPC's code. */
  readonly code: number;
  /** etcd's own words. */
  readonly details: string;

  constructor(message: string, code: number, details = message) {
    super(message);
    this.name = 'EtcdError';
    this.code = code;
    this.details = details;
  }

  /** Whether another endpoint may be better. */
  get isOfEndpoint(): boolean {
    return !ANSWERS.has(this.code);
  }

  /** Whether a new token may help: one expires after minutes, and those of a restarted etcd are gone. */
  get isOfToken(): boolean {
    return (
      this.code === status.UNAUTHENTICATED ||
      /user name is empty|auth store is old|invalid auth token/.test(this.details)
    );
  }

  /** etcd has no users: then it wants no token either. */
  get isWithoutUsers(): boolean {
    return /authentication is not enabled/.test(this.details);
  }
}

/** The error of a call to `endpoint`. */
export function explain(error: ServiceError, endpoint: string, options: EtcdOptions): EtcdError {
  const { code } = error;
  // gRPC's own wrapping around what the system said.
  const details = error.details.replace(
    /^No connection established\. Last error: (?:Error: )?(.*?)\. Resolution note: *$/,
    '$1',
  );
  const { username, caFile, prefix } = options;
  const make = (sentence: string): EtcdError =>
    new EtcdError(`etcd at ${endpoint} ${sentence}`, code, details);
  if (code === status.DEADLINE_EXCEEDED) return make('does not answer');
  if (code === status.PERMISSION_DENIED || /permission denied/.test(details)) {
    return make(
      `lets user ${show(username ?? '')} not read and write what is under ${prefix}: ${details}; grant it a role that does`,
    );
  }
  if (/authentication failed/.test(details)) {
    return make(`refuses user ${show(username)}: ${details}; correct --etcd-username or --etcd-password`);
  }
  if (/user name is empty/.test(details)) {
    return make(`wants a user: ${details}; set --etcd-username and --etcd-password`);
  }
  if (ANSWERS.has(code)) return make(`says: ${details}`);
  if (/certificate|self.signed|issuer|ssl|tls|altname/i.test(details)) {
    const from =
      caFile === undefined ? "the system's, for there is no --etcd-cafile" : `--etcd-cafile ${caFile}`;
    return make(`cannot be spoken to with TLS: ${details}; the trusted authorities are ${from}`);
  }
  return make(`cannot be reached: ${details}`);
}
