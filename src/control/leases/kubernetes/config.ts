/** Which API server, and as whom: a kubeconfig file, an address, or the service account of the pod. */

import { readFileSync } from 'node:fs';
import { warn } from '../../log.js';
import type { KubernetesOptions } from '../../options.js';
import { UserError } from '../../user-error.js';
import { KubeConfig } from './library.js';

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * Reads what the options name, anew each time. `serviceAccountRoot` stands before the path of the service account.
 * @throws UserError when it cannot be read or says too little
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
    // Reads certificates and keys that are files of their own.
    await config.applyToHTTPSOptions({});
  } catch (error) {
    throw new UserError(
      `unable to initialize client: ${(error as Error).message}; correct ${kubeconfigFile ?? 'the service account of the pod'}`,
    );
  }
  return config;
}

/** Says, as client-go does, that neither a kubeconfig nor an address was given. */
export function announceConfig({ kubeconfigFile, apiUrl }: KubernetesOptions): void {
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
  const user = config.getCurrentUser() ?? { name: 'anonymous' };
  // A token file may end with a line feed, which no header may have in it.
  const trimmed = user.token === undefined ? user : { ...user, token: user.token?.trim() };
  config.loadFromClusterAndUser(
    { ...current, ...cluster(apiUrl ?? (current?.server as string), current?.skipTLSVerify) },
    trimmed,
  );
}

/** client-go takes http where it is asked for it; the library wants to hear that nothing is to be verified. */
function cluster(
  server: string,
  skipTLSVerify = false,
): { name: string; server: string; skipTLSVerify: boolean } {
  if (!URL.canParse(server))
    throw configError(`"${server}" is no URL of an API server, like https://10.96.0.1:443`);
  const plain = new URL(server).protocol === 'http:';
  return { name: 'cluster', server: server.replace(/\/+$/, ''), skipTLSVerify: skipTLSVerify || plain };
}

function loadServiceAccount(config: KubeConfig, root: string): void {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  if (!host || !port) {
    throw configError(
      'unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined; run weft in a pod, or name a kubeconfig with --kubeconfig-file',
    );
  }
  try {
    readFileSync(`${root}${SERVICE_ACCOUNT}/token`);
  } catch (error) {
    throw configError(`${(error as Error).message}; give the pod a service account, with its token mounted`);
  }
  config.loadFromCluster(root);
}

/** In YAML `args: ["--kubeconfig-file='/a'"]` the inner quotes are part of the value. */
function quotesIn(path: string): string {
  return /["'`]/.test(path)
    ? '; there are quote characters in this path: in the args of a manifest no shell removes them'
    : '';
}

function configError(message: string): UserError {
  return new UserError(`fail to create kubernetes config: ${message}`);
}
