/** A node's way to its key in etcd (pkg/subnet/etcd/local_manager.go), with a lost race tried again, which flannel dies of. */

import { formatCidr } from '../../addresses/cidr.js';
import { formatIp } from '../../addresses/ip.js';
import { parseVtepMac } from '../../addresses/mac.js';
import type { NetConf } from '../../config/net-conf.js';
import { info } from '../../support/log.js';
import { UserError } from '../../support/user-error.js';
import type { Lease } from '../lease.js';
import type { FamilyRequest } from '../source.js';
import { ownVtepMac } from '../vtep-mac.js';
import type { EntryReader } from './entry.js';
import { formatLeaseValue, type VxlanData } from './lease-value.js';
import type { Long } from './library.js';
import type { Registry, Snapshot, Ttl } from './registry.js';
import { type Choice, choose, fits, previousKey, type Wish } from './selection.js';
import { formatSubnetKey, type SubnetKey, showSubnet6 } from './subnet-key.js';

export const FAILED = 'Error registering network: failed to acquire lease: ';
const TRIES = 10;

/** A node's leases in etcd, where every node has one of IPv4. */
export interface EtcdLeases {
  ipv4: Lease;
  ipv6: Lease | undefined;
}

/** This node's key as it was last put or seen. */
export interface OwnKey {
  name: string;
  key: SubnetKey;
  leases: EtcdLeases;
  /** The value that belongs there. */
  value: string;
  /** etcd's lease that it hangs on; zero of a reservation, which does not expire. */
  lease: Long;
  /** By Date.now(); of no meaning for a reservation. */
  expiresAt: number;
  revision: Long;
}

export interface NodeRequest {
  netConf: NetConf;
  ipv4: FamilyRequest;
  /** For a node with a subnet of each family; the network configuration must have IPv6 then. */
  ipv6: FamilyRequest | undefined;
}

export function wishOf({ netConf, ipv4, ipv6 }: NodeRequest): Wish {
  const subnets = netConf.networks.ipv4?.subnets;
  if (subnets === undefined)
    throw new Error('a network configuration from etcd says which subnets there are');
  return {
    origin: netConf.origin,
    publicIp: ipv4.publicIp,
    subnets,
    previous: ipv4.previous,
    subnets6: ipv6 && netConf.networks.ipv6?.subnets,
    previous6: ipv6?.previous,
  };
}

/** The leases that a choice comes to. */
export function leasesFor(choice: Choice, { netConf, ipv4, ipv6 }: NodeRequest): EtcdLeases {
  const { subnet, subnet6 } = keyOf(choice);
  const own = choice.kind === 'own' ? choice.entry : undefined;
  const macOf = (stored: string | undefined, { publicIp, vtepMac }: FamilyRequest): string | undefined =>
    ownVtepMac(netConf.backend, () => parseVtepMac(stored ?? ''), vtepMac, publicIp);
  return {
    ipv4: { subnet, publicIp: ipv4.publicIp, vtepMac: macOf(own?.vtepMac, ipv4) },
    ipv6: ipv6 &&
      subnet6 && {
        subnet: subnet6,
        publicIp: ipv6.publicIp,
        vtepMac: macOf(own?.vtepMac6, ipv6),
      },
  };
}

/** Puts this node's key. @returns it, and all keys as they were just before @throws UserError, EtcdError */
export async function acquire(
  registry: Registry,
  reader: EntryReader,
  request: NodeRequest,
  ttlS: number,
  random: () => number,
): Promise<{ own: OwnKey; snapshot: Snapshot }> {
  const wish = wishOf(request);
  for (let tried = 0; tried < TRIES; tried++) {
    const snapshot = await registry.readSubnets();
    const entries = snapshot.kvs.flatMap((kv) => reader.read(kv) ?? []);
    const choice = choose(entries, wish, random);
    announce(choice, wish);
    if (choice.kind === 'misfit') {
      await registry.delete(choice.entry.name, choice.entry.revision);
      continue;
    }
    const own = await put(registry, choice, request, ttlS);
    // Undefined: another node was faster, or this one's key has just changed.
    if (own !== undefined) return { own, snapshot };
  }
  throw new UserError(
    `max retries reached trying to acquire a subnet: ${TRIES} times another node was faster; start weft again`,
  );
}

/** Says which of flannel's ways it is. */
function announce(choice: Choice, wish: Wish): void {
  const ip = formatIp(wish.publicIp);
  switch (choice.kind) {
    case 'own': {
      const { subnet, subnet6 } = choice.entry.key;
      info(
        `Found lease (ip: ${formatCidr(subnet)} ipv6: ${showSubnet6(subnet6)}) for current IP (${ip}), reusing`,
      );
      return;
    }
    case 'misfit':
      info(
        `Found lease (${choice.entry.name}) for current IP (${ip}) but not compatible with current config, deleting`,
      );
      return;
    case 'free': {
      const previous = previousKey(wish);
      if (previous === undefined) return;
      const text = formatCidr(previous.subnet);
      if (choice.previous) info(`Found previously leased subnet (${text}), reusing`);
      else if (!fits(previous, wish)) {
        info(
          `Found previously leased subnet (${text}) that is not compatible with the Etcd network config, ignoring`,
        );
      }
    }
  }
}

async function put(
  registry: Registry,
  choice: Choice,
  request: NodeRequest,
  ttlS: number,
): Promise<OwnKey | undefined> {
  const key = keyOf(choice);
  const name = formatSubnetKey(key);
  const leases = leasesFor(choice, request);
  const value = valueFor(leases, request.netConf);
  const entry = choice.kind === 'free' ? undefined : choice.entry;
  const ttl: Ttl = entry?.lease.isZero() ? 'permanent' : ttlS;
  const expiresAt = Date.now() + ttlS * 1000;
  const stored =
    entry === undefined
      ? await registry.create(name, value, ttl)
      : await registry.update(entry.name, value, ttl, entry.revision);
  if (stored === undefined) return undefined;
  if (entry === undefined) {
    info(
      `Allocated lease (ip: ${formatCidr(key.subnet)} ipv6: ${showSubnet6(key.subnet6)}) to current node (${formatIp(leases.ipv4.publicIp)}) `,
    );
  }
  return { name: entry?.name ?? name, key, leases, value, expiresAt, ...stored };
}

function keyOf(choice: Choice): SubnetKey {
  return choice.kind === 'free' ? choice.key : choice.entry.key;
}

function valueFor({ ipv4, ipv6 }: EtcdLeases, { backend }: NetConf): string {
  const data = (lease: Lease | undefined): VxlanData | undefined =>
    backend.type === 'vxlan' && lease?.vtepMac !== undefined
      ? { VNI: backend.vni, VtepMAC: lease.vtepMac }
      : undefined;
  return formatLeaseValue({
    publicIp: ipv4.publicIp,
    publicIpv6: ipv6?.publicIp,
    backendType: backend.type === 'vxlan' ? 'vxlan' : '',
    backendData: data(ipv4),
    backendV6Data: data(ipv6),
  });
}
