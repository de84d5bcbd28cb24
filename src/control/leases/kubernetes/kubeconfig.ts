/** API server and credentials: from a kubeconfig file, a URL, or the service account of the pod. */

import type { KubernetesOptions } from '../../options.js';
import { warn } from '../../support/log.js';
import { readTextFile } from '../../support/read-file.js';
import { UserError } from '../../support/user-error.js';
import type { Loaded } from '../credentials.js';
import { checkCertificates } from '../pem.js';
import type { TlsOrigins } from '../tls-error.js';
import { checkToken, readKubeconfig } from './kubeconfig-file.js';
import { type Cluster, KubeConfig, type User } from './library.js';

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** API server and credentials. */
export interface ApiAccess {
  server: string;
  config: KubeConfig;
  /** For messages. */
  origins: TlsOrigins;
  /** Where the credentials come from, for messages. */
  credentials: string;
}

/**
 * Reads the files that the options name. `serviceAccountRoot` is prepended to the path of the service account.
 * @throws UserError when a file cannot be read, is incomplete or holds something else
 */
export async function loadAccess(
  options: KubernetesOptions,
  serviceAccountRoot: string,
): Promise<Loaded<ApiAccess>> {
  const { kubeconfigFile, apiUrl } = options;
  if (kubeconfigFile !== undefined) return await fromFile(kubeconfigFile, apiUrl);
  if (apiUrl !== undefined) return await fromUrl(apiUrl);
  return await fromServiceAccount(serviceAccountRoot);
}

/** Warns, in client-go's words, that the options name neither a kubeconfig nor a URL. */
export function warnOfInClusterConfig({ kubeconfigFile, apiUrl }: KubernetesOptions): void {
  if (kubeconfigFile !== undefined || apiUrl !== undefined) return;
  warn('Neither --kubeconfig nor --master was specified.  Using the inClusterConfig.  This might not work.');
}

async function fromFile(path: string, apiUrl: string | undefined): Promise<Loaded<ApiAccess>> {
  const flag = `--kubeconfig-file ${path}`;
  const found = await readKubeconfig(path, apiUrl !== undefined).catch((error: Error) => {
    throw configError(`${flag}: ${error.message}`);
  });
  const { cluster, user, client, files } = found;
  const origins = {
    ...trusted(found.ca && `${flag}: ${found.ca}`, `add certificate-authority-data to ${flag}`),
    client: client && `${flag}: ${client}`,
    clientRemedy: `add one to ${flag}`,
  };
  const value = {
    ...(await access(apiUrl ?? cluster?.server ?? '', { ...cluster }, user, flag)),
    ...{
      origins,
      credentials: `${flag}${found.credentials === undefined ? ', which has no user' : `: ${found.credentials}`}`,
    },
  };
  return { value, files };
}

async function fromUrl(apiUrl: string): Promise<Loaded<ApiAccess>> {
  const remedy = 'set --kubeconfig-file';
  const origins = { ...trusted(undefined, remedy), client: undefined, clientRemedy: remedy };
  const flag = `--kube-api-url ${apiUrl}`;
  const value = { ...(await access(apiUrl, {}, { name: 'anonymous' }, flag)), origins };
  return { value: { ...value, credentials: `${flag}, which has none; ${remedy}` }, files: [] };
}

async function fromServiceAccount(root: string): Promise<Loaded<ApiAccess>> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  if (!host || !port) {
    throw configError(
      'unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined; run Weft in a pod, or name a kubeconfig with --kubeconfig-file',
    );
  }
  const folder = `${root}${SERVICE_ACCOUNT}`;
  const [ca, token] = [`${folder}/ca.crt`, `${folder}/token`];
  const remedy = 'give the pod a service account, with its token mounted';
  const read = async (path: string, check: (text: string) => void): Promise<string> => {
    try {
      const text = (await readTextFile(path)).trim();
      check(text);
      return text;
    } catch (error) {
      throw configError(`${path}: ${(error as Error).message}; ${remedy}`);
    }
  };
  const bearer = await read(token, (text) => checkToken(text, 'the file'));
  const caData = Buffer.from(await read(ca, checkCertificates)).toString('base64');
  // As the library's loadFromCluster: these ports are http.
  const scheme = ['80', '8080', '8001'].includes(port) ? 'http' : 'https';
  const server = `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const user = { name: 'service-account', token: bearer };
  const origins = { ca, client: undefined, clientRemedy: 'set --kubeconfig-file' };
  const value = {
    ...(await access(server, { caData }, user, 'KUBERNETES_SERVICE_HOST')),
    origins,
    credentials: token,
  };
  return { value, files: [ca, token] };
}

/** Returns the trusted CAs for messages: of `origin`, or without it Node's own list. */
function trusted(origin: string | undefined, caRemedy: string): Pick<TlsOrigins, 'ca' | 'caRemedy'> {
  return origin === undefined ? { ca: "Node's own list", caRemedy } : { ca: origin };
}

/** Makes the library's configuration. For http, which client-go accepts too, the library requires `skipTLSVerify`. */
async function access(
  server: string,
  cluster: Partial<Cluster>,
  user: User,
  origin: string,
): Promise<Pick<ApiAccess, 'server' | 'config'>> {
  if (!/^https?:\/\/[^/]/i.test(server) || !URL.canParse(server)) {
    throw configError(`${origin}: "${server}" is not the URL of an API server, like https://10.96.0.1:443`);
  }
  const plain = new URL(server).protocol === 'http:';
  const skipTLSVerify = cluster.skipTLSVerify === true || plain;
  const config = new KubeConfig();
  const chosen = { ...cluster, name: 'cluster', server: server.replace(/\/+$/, ''), skipTLSVerify };
  config.loadFromClusterAndUser(chosen, user);
  try {
    // Runs the exec plugin or the auth provider, if there is one.
    await config.applyToHTTPSOptions({});
  } catch (error) {
    const { message } = error as Error;
    if (user.exec === undefined && user.authProvider === undefined)
      throw configError(`${origin}: ${message}`);
    const helper = user.exec === undefined ? 'auth-provider' : `exec ${user.exec.command}`;
    throw new UserError(
      `unable to initialize client: ${origin}: ${helper} gives no credentials (${message}); run it by hand, or use a token`,
    );
  }
  return { server: chosen.server, config };
}

function configError(message: string): UserError {
  return new UserError(`fail to create kubernetes config: ${message}`);
}
