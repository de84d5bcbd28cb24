/** Acquires a node's key in etcd, as pkg/subnet/etcd/local_manager.go does. Weft retries a lost race; flannel exits. */

import { formatCidr } from '../../addresses/cidr.js';
import { mapFamilies, valueIn } from '../../addresses/family.js';
import { formatIp } from '../../addresses/ip.js';
import { parseVtepMac } from '../../addresses/mac.js';
import type { NetConf } from '../../config/net-conf.js';
import { info } from '../../support/log.js';
import { UserError } from '../../support/user-error.js';
import type { Lease } from '../lease.js';
import type { FamilyRequest } from '../source.js';
import { ownVtepMac } from '../vtep-mac.js';
import type { EntryReader, SubnetEntry } from './entry.js';
import { formatLeaseValue } from './lease-value.js';
import type { Long } from './library.js';
import type { Registry, Snapshot } from './registry.js';
import {
  fits,
  previousKey,
  type Selection,
  type SubnetRequest,
  select,
  type UsableSelection,
} from './selection.js';
import { formatSubnetKey, mapWithIpv4, showIpv6, type WithIpv4 } from './subnet-key.js';

const TRIES = 10;

type EtcdLeases = WithIpv4<Lease>;

/** This node's key, as last put or seen. */
export interface OwnKey {
  name: string;
  leases: EtcdLeases;
  /** The value that this node puts. */
  value: string;
  /** The key's lease in etcd; zero for a reservation, which does not expire. */
  lease: Long;
  /** Time by Date.now(); meaningless for a reservation. */
  expiresAt: number;
  revision: Long;
}

export interface NodeRequest {
  netConf: NetConf;
  /** The network configuration has all of these families. */
  families: WithIpv4<FamilyRequest>;
}

/** Acquires this node's key. @returns the key, and all keys just before @throws UserError, EtcdError */
export async function acquire(
  registry: Registry,
  reader: EntryReader,
  request: NodeRequest,
  random: () => number,
): Promise<{ own: OwnKey; snapshot: Snapshot }> {
  const subnetRequest = subnetRequestOf(request);
  for (let tried = 0; tried < TRIES; tried++) {
    const snapshot = await registry.readSubnets();
    const selection = select(entriesOf(snapshot, reader), subnetRequest, random);
    logSelection(selection, subnetRequest);
    if (selection.kind === 'stale') {
      await registry.delete(selection.entry.name, selection.entry.revision);
      continue;
    }
    const own = await put(registry, selection, request);
    // Undefined: another node was faster, or this node's key has just changed.
    if (own !== undefined) return { own, snapshot };
  }
  throw new UserError(
    `max retries reached trying to acquire a subnet: ${TRIES} times another node was faster; restart Weft`,
  );
}

/** Returns the leases that `acquire` would return, with the first free subnets. @throws UserError, EtcdError */
export async function previewLeases(
  registry: Registry,
  reader: EntryReader,
  request: NodeRequest,
): Promise<EtcdLeases> {
  const subnetRequest = subnetRequestOf(request);
  let entries = entriesOf(await registry.readSubnets(), reader);
  for (;;) {
    const selection = select(entries, subnetRequest, () => 0);
    if (selection.kind !== 'stale') return leasesFor(selection, request);
    entries = entries.filter((entry) => entry !== selection.entry);
  }
}

function entriesOf({ kvs }: Snapshot, reader: EntryReader): SubnetEntry[] {
  return kvs.flatMap((kv) => reader.read(kv) ?? []);
}

function subnetRequestOf({ netConf, families }: NodeRequest): SubnetRequest {
  const ranges = mapWithIpv4(families, (_, family) => {
    const { subnets } = valueIn(netConf.networks, family);
    if (subnets === undefined) throw new Error('a network configuration in etcd has subnet ranges');
    return subnets;
  });
  const previous = mapFamilies(families, (family) => family.previous);
  return { origin: netConf.origin, publicIp: families.ipv4.publicIp, ranges, previous };
}

function leasesFor(selection: UsableSelection, { netConf, families }: NodeRequest): EtcdLeases {
  const { key, vtepMacs }: Pick<SubnetEntry, 'key' | 'vtepMacs'> =
    selection.kind === 'own' ? selection.entry : { key: selection.key, vtepMacs: {} };
  return mapWithIpv4(key, (subnet, family) => {
    const { publicIp, vtepMac } = valueIn(families, family);
    const storedMac = (): string | undefined => parseVtepMac(vtepMacs[family] ?? '');
    return { subnet, publicIp, vtepMac: ownVtepMac(netConf.backend, storedMac, vtepMac, publicIp) };
  });
}

/** Logs the selection in flannel's words. */
function logSelection(selection: Selection, request: SubnetRequest): void {
  const ip = formatIp(request.publicIp);
  switch (selection.kind) {
    case 'own': {
      const { key } = selection.entry;
      info(
        `Found lease (ip: ${formatCidr(key.ipv4)} ipv6: ${showIpv6(key)}) for current IP (${ip}), reusing`,
      );
      return;
    }
    case 'stale':
      info(
        `Found lease (${selection.entry.name}) for current IP (${ip}) but not compatible with current config, deleting`,
      );
      return;
    case 'free': {
      const previous = previousKey(request);
      if (previous === undefined) return;
      const text = formatCidr(previous.ipv4);
      if (selection.previous) info(`Found previously leased subnet (${text}), reusing`);
      else if (!fits(previous, request)) {
        info(
          `Found previously leased subnet (${text}) that is not compatible with the Etcd network config, ignoring`,
        );
      }
    }
  }
}

/** Returns undefined if the key has changed since the selection. */
async function put(
  registry: Registry,
  selection: UsableSelection,
  request: NodeRequest,
): Promise<OwnKey | undefined> {
  const leases = leasesFor(selection, request);
  const value = formatLeaseValue(leases, request.netConf.backend);
  if (selection.kind === 'own') {
    const { entry } = selection;
    const stored = await registry.update(entry, value);
    return stored && { name: entry.name, leases, value, ...stored };
  }
  const { key } = selection;
  const name = formatSubnetKey(key);
  const stored = await registry.create(name, value);
  if (stored === undefined) return undefined;
  info(
    `Allocated lease (ip: ${formatCidr(key.ipv4)} ipv6: ${showIpv6(key)}) to current node (${formatIp(leases.ipv4.publicIp)}) `,
  );
  return { name, leases, value, ...stored };
}
