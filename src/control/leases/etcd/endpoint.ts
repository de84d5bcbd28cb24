/** The endpoints that --etcd-endpoints names, with their TLS credentials. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { EtcdOptions } from '../../options.js';
import { readText } from '../../support/json-file.js';
import { warn } from '../../support/log.js';
import { UserError } from '../../support/user-error.js';
import { type ChannelCredentials, credentials } from './library.js';

/** flannel's words. */
const FAILED_TO_OPEN = 'Failed to create SubnetManager: ';
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
  const tls = wantsTls ? await readTls(options, hasPair) : credentials.createInsecure();
  return parsed.map(({ name, address, secure }) => ({
    name,
    address,
    credentials: hasPair || secure ? tls : credentials.createInsecure(),
  }));
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

/** Reads each file on its own, so that an error names the right file. @throws UserError */
async function readTls(options: EtcdOptions, hasPair: boolean): Promise<ChannelCredentials> {
  const ca = await readPem('--etcd-cafile', options.caFile, (text) => new X509Certificate(text));
  const key = hasPair ? await readPem('--etcd-keyfile', options.keyFile, createPrivateKey) : undefined;
  const cert = hasPair
    ? await readPem('--etcd-certfile', options.certFile, (text) => new X509Certificate(text))
    : undefined;
  try {
    return credentials.createSsl(ca ?? null, key ?? null, cert ?? null);
  } catch (error) {
    throw new UserError(
      `${FAILED_TO_OPEN}--etcd-keyfile ${options.keyFile} and --etcd-certfile ${options.certFile} do not match: ${(error as Error).message}`,
    );
  }
}

async function readPem(
  flag: string,
  path: string | undefined,
  check: (text: string) => unknown,
): Promise<Buffer | undefined> {
  if (path === undefined) return undefined;
  let text: string;
  try {
    text = await readText(flag, path);
  } catch (error) {
    throw new UserError(`${FAILED_TO_OPEN}${(error as Error).message}`);
  }
  try {
    check(text);
  } catch (error) {
    throw new UserError(
      `${FAILED_TO_OPEN}${flag} ${path}: not a PEM file of this kind: ${(error as Error).message}`,
    );
  }
  return Buffer.from(text);
}
