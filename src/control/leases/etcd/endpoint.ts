/** The endpoints that --etcd-endpoints names, with their TLS credentials. */

import type { EtcdOptions } from '../../options.js';
import { warn } from '../../support/log.js';
import { UserError } from '../../support/user-error.js';
import { Credentials } from '../credentials.js';
import { type ChannelCredentials, credentials } from './library.js';
import { EtcdTls, FAILED_TO_OPEN, loadTls } from './tls.js';

const DEFAULT_PORT = 2379;

export interface Endpoint {
  /** URL for messages, without user and password. */
  name: string;
  /** host:port */
  address: string;
  credentials: ChannelCredentials;
}

/**
 * Reads the endpoints and the TLS files. With both key and certificate, all endpoints use TLS; otherwise only the
 * endpoints with https do.
 * @throws UserError
 */
export async function readEndpoints(options: EtcdOptions): Promise<Endpoint[]> {
  const parsed = options.endpoints.map(parseEndpoint);
  const hasPair = options.keyFile !== undefined && options.certFile !== undefined;
  if (!hasPair && parsed.some(({ secure }) => !secure)) {
    warn('no certificate provided: connecting to etcd with http. This is insecure');
  }
  const wantsTls = hasPair || parsed.some(({ secure }) => secure);
  const files = wantsTls ? await Credentials.open(() => loadTls(options, hasPair)) : undefined;
  return parsed.map(({ name, address, secure }) => ({
    name,
    address,
    credentials:
      files !== undefined && (hasPair || secure)
        ? new EtcdTls(hostOf(address), files)
        : credentials.createInsecure(),
  }));
}

/** Returns the host of `host:port`, without the brackets of an IPv6 address. */
function hostOf(address: string): string {
  return address.replace(/:\d+$/, '').replaceAll(/[[\]]/g, '');
}

/** Parses `http://host:port`, `https://…` or `host:port`; ignores a user, and never shows it. @throws UserError */
export function parseEndpoint(text: string): { name: string; address: string; secure: boolean } {
  const match = /^(?:(https?):\/\/)?(?:[^@/]*@)?(\[[0-9a-f:.]+\]|[^:@/\s[\]]+)(?::(\d{1,5}))?\/?$/i.exec(
    text,
  );
  const port = Number(match?.[3] ?? DEFAULT_PORT);
  if (match === null || port < 1 || port > 65535) {
    const shown = text.replace(/^((?:[^/]*:\/\/)?)[^/]*@/, '$1***@');
    throw new UserError(
      `${FAILED_TO_OPEN}--etcd-endpoints: "${shown}" is not an endpoint; write a comma-separated list like http://192.168.77.1:2379`,
    );
  }
  const scheme = match[1]?.toLowerCase() ?? 'http';
  const address = `${match[2]}:${port}`;
  return { name: `${scheme}://${address}`, address, secure: scheme === 'https' };
}
