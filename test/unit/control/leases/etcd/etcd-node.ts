/** A node of an etcd cluster for tests: a lease source and what it delivered. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { until } from '../../../../../lab/until.js';
import { formatCidr } from '../../../../../src/control/addresses/cidr.js';
import { type Family, mapFamilies } from '../../../../../src/control/addresses/family.js';
import { formatIp, type Ip } from '../../../../../src/control/addresses/ip.js';
import type { NetConf } from '../../../../../src/control/config/net-conf.js';
import { EtcdLeaseSource } from '../../../../../src/control/leases/etcd/etcd-source.js';
import type { EtcdTiming } from '../../../../../src/control/leases/etcd/timing.js';
import type { Lease, LeaseSets } from '../../../../../src/control/leases/lease.js';
import type { FamilyRequest, LeaseRequest } from '../../../../../src/control/leases/source.js';
import type { EtcdOptions } from '../../../../../src/control/options.js';
import { cidr, ip } from '../../../../support/addresses.js';
import { ETCD } from '../../../../support/conf.js';
import type { Etcd } from '../../../../support/etcd.js';

export const CONFIG = '{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}';
/** Short waits. */
export const SOON: Partial<EtcdTiming> = {
  retryMs: 20,
  graceMs: 0,
  collectMs: 5,
  backoff: { firstMs: 20, mostMs: 100 },
};

export function optionsFor(
  endpoints: string | string[],
  prefix: string,
  more: Partial<EtcdOptions> = {},
): EtcdOptions {
  return { ...ETCD, endpoints: [endpoints].flat(), prefix, ...more };
}

/** Returns a peer's value in flannel's format. */
export function valueOf(publicIp: string, mac: string): string {
  return `{"PublicIP":"${publicIp}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"${mac}"}}`;
}

/** Formats a lease as `10.5.1.0/24 192.168.77.1 02:…`. */
export function show({ subnet, publicIp, vtepMac }: Lease): string {
  return `${formatCidr(subnet)} ${formatIp(publicIp)} ${vtepMac}`;
}

/** Returns the request of a node with this address. */
export function familyRequest(publicIp: Ip): FamilyRequest {
  return { addresses: [publicIp], publicIp, previous: undefined, vtepMac: undefined };
}

/** Returns the node's IPv4 address, or fd77::a.b.c.d for IPv6. */
function publicIpFor(text: string, family: Family): Ip {
  const publicIp = ip(text);
  return family === 'ipv4' ? publicIp : (0xfd77n << 112n) + BigInt(publicIp);
}

export interface NodeOptions {
  previous?: string;
  timing?: Partial<EtcdTiming>;
  random?: () => number;
  more?: Partial<EtcdOptions>;
}

export class EtcdNode {
  readonly source: EtcdLeaseSource;
  readonly revoked: string[] = [];
  readonly refused: string[] = [];
  /** The peers of every set so far, the acquired set first. */
  readonly sets: string[][] = [];
  own: Lease | undefined;
  /** Run directory of its machine. */
  readonly runDir: string;
  private readonly publicIp: string;
  private readonly previous: string | undefined;
  private netConf: NetConf | undefined;
  private readonly leaving = new AbortController();

  constructor(
    t: Test,
    endpoints: string | string[],
    prefix: string,
    publicIp: string,
    options: NodeOptions = {},
  ) {
    const { timing, random, more, previous } = options;
    this.publicIp = publicIp;
    this.previous = previous;
    this.runDir = more?.runDir ?? mkdtempSync(join(tmpdir(), 'weft-run-'));
    const all = optionsFor(endpoints, prefix, { ...more, runDir: this.runDir });
    this.source = new EtcdLeaseSource(all, { ...SOON, ...timing }, random);
    t.teardown(async () => {
      this.leaving.abort();
      await this.source.close();
      rmSync(this.runDir, { recursive: true, force: true });
    });
  }

  /** Returns a node that has its lease and watches. */
  static async join(
    t: Test,
    etcd: Etcd,
    prefix: string,
    publicIp: string,
    options: NodeOptions = {},
  ): Promise<EtcdNode> {
    const node = new EtcdNode(t, etcd.url, prefix, publicIp, options);
    await node.acquire();
    node.watch();
    return node;
  }

  async request(): Promise<LeaseRequest> {
    const { netConf } = await this.source.open(this.leaving.signal);
    this.netConf = netConf;
    return this.requestAt(this.publicIp);
  }

  /** Returns the request with this address. */
  requestAt(publicIp: string): LeaseRequest {
    const netConf = this.netConf as NetConf;
    const previous = this.previous === undefined ? undefined : cidr(this.previous);
    const families = mapFamilies(netConf.networks, (_, family) => ({
      ...familyRequest(publicIpFor(publicIp, family)),
      previous: family === 'ipv4' ? previous : undefined,
    }));
    return { netConf, interface: 'eth0', families };
  }

  /** Acquires, by default after opening; returns the subnet. */
  async acquire(request?: LeaseRequest): Promise<string> {
    const sets = await this.source.acquire(request ?? (await this.request()), this.leaving.signal);
    this.record(sets);
    return this.subnet;
  }

  async preview(): Promise<string> {
    const { ipv4 } = await this.source.preview(await this.request(), this.leaving.signal);
    return show(ipv4?.own as Lease);
  }

  watch(): void {
    this.source.watch({
      onLeases: async (sets) => this.record(sets),
      onRefused: ({ message }) => this.refused.push(message),
      onRevoked: (reason) => this.revoked.push(reason),
    });
  }

  get subnet(): string {
    return formatCidr((this.own as Lease).subnet);
  }

  /** Name of this node's key, without the common prefix. */
  get name(): string {
    return this.subnet.replace('/', '-');
  }

  /** Waits until the last set has exactly these peers. */
  async peersAre(...peers: string[]): Promise<void> {
    await until(
      `peers ${peers.join(', ')}; now ${this.sets.at(-1)?.join(', ')}`,
      () => [...(this.sets.at(-1) ?? [])].sort().join() === [...peers].sort().join(),
    );
  }

  private record({ ipv4, ipv6 }: LeaseSets): void {
    this.own = ipv4?.own;
    this.sets.push([...(ipv4?.peers ?? []), ...(ipv6?.peers ?? [])].map(show));
  }
}
