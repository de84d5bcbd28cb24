/**
 * TLS connections to etcd. Each handshake uses the files as they are then, as etcd's own client does, so that renewed
 * certificates need no restart. gRPC's own credentials keep their first certificates.
 */

import { isIP, type Socket } from 'node:net';
import { connect, createSecureContext, type SecureContext } from 'node:tls';
import type { EtcdOptions } from '../../options.js';
import { readText } from '../../support/json-file.js';
import { UserError } from '../../support/user-error.js';
import type { Credentials, Loaded } from '../credentials.js';
import { checkCertificates, checkKey, checkPair } from '../pem.js';
import { CallCredentials, ChannelCredentials } from './library.js';

/** flannel's words. */
export const FAILED_TO_OPEN = 'Failed to create SubnetManager: ';

/** Reads --etcd-cafile, and with `hasPair` key and certificate. @throws UserError that names the bad file */
export async function loadTls(options: EtcdOptions, hasPair: boolean): Promise<Loaded<SecureContext>> {
  const { caFile, keyFile, certFile } = options;
  const ca = await readPem('--etcd-cafile', caFile, checkCertificates);
  const key = hasPair ? await readPem('--etcd-keyfile', keyFile, checkKey) : undefined;
  const cert = hasPair ? await readPem('--etcd-certfile', certFile, checkCertificates) : undefined;
  if (cert !== undefined && key !== undefined) {
    try {
      checkPair(cert, key);
    } catch (error) {
      throw new UserError(
        `${FAILED_TO_OPEN}--etcd-keyfile ${keyFile} and --etcd-certfile ${certFile} do not match: ${(error as Error).message}; use the key of this certificate`,
      );
    }
  }
  const files = [caFile, ...(hasPair ? [keyFile, certFile] : [])].filter((path) => path !== undefined);
  return { value: createSecureContext({ ca, key, cert }), files };
}

async function readPem(
  flag: string,
  path: string | undefined,
  check: (text: string) => void,
): Promise<string | undefined> {
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
  return text;
}

/** gRPC's credentials for the connections to one host. */
export class EtcdTls extends ChannelCredentials {
  private readonly host: string;
  private readonly files: Credentials<SecureContext>;

  /** @param host a name, or an IP address without brackets */
  constructor(host: string, files: Credentials<SecureContext>) {
    super();
    this.host = host;
    this.files = files;
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    _target: unknown,
    _options: unknown,
    callCredentials = CallCredentials.createEmpty(),
  ): ReturnType<ChannelCredentials['_createSecureConnector']> {
    return {
      connect: async (socket) => ({ socket: await this.handshake(socket), secure: true }),
      waitForReady: async () => {},
      getCallCredentials: () => callCredentials,
      destroy: () => {},
    };
  }

  private async handshake(socket: Socket): Promise<Socket> {
    const { host } = this;
    // gRPC listens for no error of this socket; without a listener one ends the process.
    let failure: Error | undefined;
    socket.on('error', (error) => {
      failure = error;
    });
    const secureContext = await this.files.current();
    if (failure !== undefined) throw failure;
    if (socket.destroyed) throw new Error('the connection closed before the TLS handshake');
    return await new Promise((resolve, reject) => {
      const secure = connect(
        // RFC 6066, section 3: a server name is never an IP address; Node warns of one (DEP0123).
        { socket, host, secureContext, servername: isIP(host) === 0 ? host : '', ALPNProtocols: ['h2'] },
        () => resolve(secure),
      );
      secure.on('error', (error) => {
        this.files.refuse();
        reject(error);
      });
    });
  }
}
