/** API server and credentials: from a kubeconfig file, a URL, or the service account of the pod. */

import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { KubernetesOptions } from '../../options.js';
import { warn } from '../../support/log.js';
import { UserError } from '../../support/user-error.js';
import { type Cluster, KubeConfig, parseYaml } from './library.js';

const TOKEN_FILE = 'token-file';
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * Reads the files that the options name. `serviceAccountRoot` is prepended to the path of the service account.
 * @throws UserError when a file cannot be read or is incomplete
 */
export async function loadConfig(
  options: KubernetesOptions,
  serviceAccountRoot: string,
): Promise<KubeConfig> {
  const config = new KubeConfig();
  const { kubeconfigFile, apiUrl } = options;
  if (kubeconfigFile !== undefined) loadFile(config, kubeconfigFile, apiUrl);
  else if (apiUrl !== undefined) config.loadFromClusterAndUser(cluster(apiUrl), { name: 'anonymous' });
  else loadServiceAccount(config, serviceAccountRoot);
  try {
    // Reads the certificate and key files, and throws if one is missing.
    await config.applyToHTTPSOptions({});
  } catch (error) {
    throw new UserError(
      `unable to initialize client: ${(error as Error).message}; correct ${kubeconfigFile ?? 'the service account of the pod'}`,
    );
  }
  return config;
}

/** Warns, in client-go's words, that the options name neither a kubeconfig nor a URL. */
export function warnOfInClusterConfig({ kubeconfigFile, apiUrl }: KubernetesOptions): void {
  if (kubeconfigFile !== undefined || apiUrl !== undefined) return;
  warn('Neither --kubeconfig nor --master was specified.  Using the inClusterConfig.  This might not work.');
}

function loadFile(config: KubeConfig, path: string, apiUrl: string | undefined): void {
  try {
    config.loadFromFile(path);
  } catch (error) {
    throw configError(`--kubeconfig-file ${path}: ${(error as Error).message}${quotesIn(path)}`);
  }
  const current = config.getCurrentCluster();
  if (current === null && apiUrl === undefined) {
    throw configError(
      `--kubeconfig-file ${path}: no cluster for current-context "${config.getCurrentContext() ?? ''}"; set current-context to one of its contexts`,
    );
  }
  const server = apiUrl ?? (current?.server as string);
  const chosen = { ...current, ...cluster(server, current?.skipTLSVerify) };
  const user = config.getCurrentUser() ?? { name: 'anonymous' };
  const tokenFile = tokenFileOf(path, user.name);
  if (tokenFile === undefined || user.token) config.loadFromClusterAndUser(chosen, user);
  else useTokenFile(config, chosen, resolve(dirname(path), tokenFile));
}

/** Returns a user's `tokenFile`, which the library looks up as `token-file`. */
function tokenFileOf(path: string, user: string): string | undefined {
  const { users } = parseYaml(readFileSync(path, 'utf8')) as {
    users?: { name?: string; user?: { tokenFile?: string } }[];
  };
  return users?.find(({ name }) => name === user)?.user?.tokenFile;
}

/**
 * Makes the configuration read the token file for each request, because the kubelet rotates tokens about every hour. The
 * library's own reader keeps a trailing line feed, which is invalid in a header.
 */
function useTokenFile(config: KubeConfig, server: Cluster, path: string): void {
  config.addAuthenticator({
    isAuthProvider: ({ authProvider }) => authProvider?.name === TOKEN_FILE,
    applyAuthentication: async (_, options) => {
      const token = (await readFile(path, 'utf8')).trim();
      options.headers = Object.assign(options.headers ?? {}, { Authorization: `Bearer ${token}` });
    },
  });
  config.loadFromClusterAndUser(server, { name: TOKEN_FILE, authProvider: { name: TOKEN_FILE } });
}

/** Returns a cluster; for http, which client-go accepts too, the library requires `skipTLSVerify`. @throws UserError */
function cluster(server: string, skipTLSVerify = false): Cluster {
  if (!URL.canParse(server))
    throw configError(`"${server}" is not the URL of an API server, like https://10.96.0.1:443`);
  const plain = new URL(server).protocol === 'http:';
  return { name: 'cluster', server: server.replace(/\/+$/, ''), skipTLSVerify: skipTLSVerify || plain };
}

function loadServiceAccount(config: KubeConfig, root: string): void {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  if (!host || !port) {
    throw configError(
      'unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined; run Weft in a pod, or name a kubeconfig with --kubeconfig-file',
    );
  }
  const token = `${root}${SERVICE_ACCOUNT}/token`;
  try {
    readFileSync(token);
  } catch (error) {
    throw configError(`${(error as Error).message}; give the pod a service account, with its token mounted`);
  }
  config.loadFromCluster(root);
  useTokenFile(config, config.getCurrentCluster() as Cluster, token);
}

/** Returns a hint on quotes: in YAML `args: ["--kubeconfig-file='/a'"]` the inner quotes are part of the value. */
function quotesIn(path: string): string {
  return /["'`]/.test(path)
    ? '; there are quote characters in this path: in the args of a manifest no shell removes them'
    : '';
}

function configError(message: string): UserError {
  return new UserError(`fail to create kubernetes config: ${message}`);
}
