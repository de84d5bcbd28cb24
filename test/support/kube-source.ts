/** A Kubernetes lease source on a test API server, with short waits. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mock } from 'node:test';
import type { Test } from 'tap';
import { until } from '../../lab/until.js';
import { formatCidr } from '../../src/control/addresses/cidr.js';
import { mapFamilies, valuesOf } from '../../src/control/addresses/family.js';
import { formatIp, type Ip } from '../../src/control/addresses/ip.js';
import { KubernetesLeaseSource } from '../../src/control/leases/kubernetes/kubernetes-source.js';
import type { KubernetesTiming } from '../../src/control/leases/kubernetes/timing.js';
import type { LeaseSets } from '../../src/control/leases/lease.js';
import type { Cluster, FamilyRequest, LeaseRequest } from '../../src/control/leases/source.js';
import type { KubernetesOptions } from '../../src/control/options.js';
import { Backoff } from '../../src/control/support/backoff.js';
import { ip } from './addresses.js';
import { catchLog } from './catch-log.js';
import { KubeApi } from './kube-api.js';
import { kubeNode } from './kube-nodes.js';

export const QUICK: Partial<KubernetesTiming> = {
  backoff: { firstMs: 5, mostMs: 40 },
  steadyMs: 10_000,
  graceMs: 0,
  answerMs: 2000,
  collectMs: 5,
  patchPauseMs: 20,
  acquireRetryMs: 20,
  acquireMs: 150,
  pageSize: 2,
};

export const NET_CONF = '{"Network":"10.0.0.0/8","Backend":{"Type":"vxlan"}}';

export class Harness {
  readonly api: KubeApi;
  readonly source: KubernetesLeaseSource;
  readonly lines: string[];
  /** Later sets, each lease as `subnet at address`, own first. */
  readonly sets: string[][] = [];
  readonly refusals: string[] = [];
  private cluster: Cluster | undefined;

  constructor(api: KubeApi, source: KubernetesLeaseSource, lines: string[]) {
    this.api = api;
    this.source = source;
    this.lines = lines;
  }

  async open(): Promise<Cluster> {
    this.cluster = await this.source.open(new AbortController().signal);
    return this.cluster;
  }

  get request(): LeaseRequest {
    const { netConf } = this.cluster as Cluster;
    const request = (publicIp: Ip): FamilyRequest => ({
      ...{ addresses: [publicIp], publicIp, previous: undefined, vtepMac: undefined },
    });
    const publicIps = { ipv4: ip('192.0.2.1'), ipv6: ip('2001:db8::1') };
    const families = mapFamilies(netConf.networks, (_, family) => request(publicIps[family]));
    return { netConf, interface: 'eth0', families };
  }

  async acquire(): Promise<LeaseSets> {
    return await this.source.acquire(this.request, new AbortController().signal);
  }

  /** Opens, acquires and watches. */
  async start(): Promise<LeaseSets> {
    await this.open();
    const set = await this.acquire();
    this.source.watch({
      onLeases: async (later) => void this.sets.push(textOf(later)),
      onRefused: (error) => this.refusals.push(error.message),
      onRevoked: () => {},
    });
    await until('a watch', () => this.api.openWatches > 0);
    return set;
  }

  /** Waits for a log line. */
  async logged(part: string): Promise<string> {
    return await until(part, () => this.lines.find((line) => line.includes(part)));
  }

  /** Waits until the last set has exactly these leases. */
  async delivered(...leases: string[]): Promise<void> {
    await until(
      `${leases.join()}, not ${this.sets.at(-1)?.join()}`,
      () => this.sets.at(-1)?.join() === leases.join(),
    );
  }
}

/** Formats each lease as `subnet at address`, IPv4 first. */
export function textOf(sets: LeaseSets): string[] {
  return valuesOf(sets).flatMap(({ own, peers }) =>
    [own, ...peers].map(({ subnet, publicIp }) => `${formatCidr(subnet)} at ${formatIp(publicIp)}`),
  );
}

export interface HarnessOptions {
  options?: Partial<KubernetesOptions>;
  timing?: Partial<KubernetesTiming>;
  netConf?: string;
  env?: Record<string, string | undefined>;
}

/** Starts a server with node `me` (10.1.1.0/24), and a source of that node. */
export async function harness(
  t: Test,
  { options, timing, netConf, env }: HarnessOptions = {},
): Promise<Harness> {
  const lines = catchLog(t);
  const dir = t.testdir({ 'net-conf.json': netConf ?? NET_CONF });
  const api = await KubeApi.start(dir);
  api.put(kubeNode('me', ['10.1.1.0/24']));
  setEnv(t, { NODE_NAME: 'me', POD_NAME: undefined, POD_NAMESPACE: undefined, ...env });
  const source = new KubernetesLeaseSource(
    {
      type: 'kubernetes',
      netConfigPath: join(dir, 'net-conf.json'),
      apiUrl: undefined,
      kubeconfigFile: api.writeKubeconfig(undefined),
      annotationPrefix: 'flannel.alpha.coreos.com',
      setNodeNetworkUnavailable: true,
      runDir: join(dir, 'run'),
      ...options,
    },
    { timing: { ...QUICK, ...timing }, serviceAccountRoot: dir },
  );
  t.teardown(async () => {
    await source.close();
    await api.stop();
  });
  return new Harness(api, source, lines);
}

/** Records the milliseconds of every back-off until the test ends. */
export function recordWaits(t: Test): number[] {
  const waits: number[] = [];
  const { next } = Backoff.prototype;
  const spy = mock.method(Backoff.prototype, 'next', function (this: Backoff, leastMs?: number): number {
    const waitMs = next.call(this, leastMs);
    waits.push(waitMs);
    return waitMs;
  });
  t.teardown(() => spy.mock.restore());
  return waits;
}

export function setEnv(t: Test, values: Record<string, string | undefined>): void {
  for (const [name, value] of Object.entries(values)) {
    const before = process.env[name];
    const set = (text: string | undefined): void => {
      if (text === undefined) delete process.env[name];
      else process.env[name] = text;
    };
    set(value);
    t.teardown(() => set(before));
  }
}

/** Writes a token file. */
export function writeToken(path: string, token: string): void {
  writeFileSync(path, `${token}\n`);
}
