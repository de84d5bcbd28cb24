/** Acquires a node's key in etcd, as pkg/subnet/etcd/local_manager.go does. Weft retries a lost race; flannel exits. */

import { formatCidr } from '../../addresses/cidr.js';
import { mapFamilies, type PerFamily, valueIn } from '../../addresses/family.js';
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

export type EtcdLeases = WithIpv4<Lease>;

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
  /** The MACs in the run directory. */
  storedMacs: PerFamily<string>;
  /** The network configuration has all of these families. */
  families: WithIpv4<FamilyRequest>;
}

/**
 * Acquires this node's key; `beforePut` runs before each attempt to put the leases.
 * @returns the key, and all keys just before @throws UserError, EtcdError
 */
export async function acquire(
  registry: Registry,
  reader: EntryReader,
  request: NodeRequest,
  random: () => number,
  beforePut: (leases: EtcdLeases) => Promise<void> = async () => {},
): Promise<{ own: OwnKey; snapshot: Snapshot }> {
  const subnetRequest = subnetRequestOf(request);
  for (let tried = 0; tried < TRIES; tried++) {
    const snapshot = await registry.readSubnets();
    const entries = entriesOf(snapshot, reader);
    const selection = select(entries, subnetRequest, random);
    logSelection(selection, subnetRequest);
    if (selection.kind === 'stale') {
      await registry.delete(selection.entry.name, selection.entry.revision);
      continue;
    }
    const leases = leasesFor(selection, request, entries);
    await beforePut(leases);
    const own = await put(registry, selection, request, leases);
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
    if (selection.kind !== 'stale') return leasesFor(selection, request, entries);
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

function leasesFor(
  selection: UsableSelection,
  { netConf, families, storedMacs }: NodeRequest,
  entries: readonly SubnetEntry[],
): EtcdLeases {
  const { key, vtepMacs }: Pick<SubnetEntry, 'key' | 'vtepMacs'> =
    selection.kind === 'own' ? selection.entry : { key: selection.key, vtepMacs: {} };
  const others = selection.kind === 'own' ? entries.filter((entry) => entry !== selection.entry) : entries;
  return mapWithIpv4(key, (subnet, family) => {
    const { publicIp, vtepMac: adopted } = valueIn(families, family);
    if (netConf.backend.type !== 'vxlan') return { subnet, publicIp, vtepMac: undefined };
    const isTaken = (mac: string): boolean =>
      others.some((entry) => parseVtepMac(entry.vtepMacs[family] ?? '') === mac);
    const stored = storedMacs[family];
    const inKey = parseVtepMac(vtepMacs[family] ?? '');
    // The address may be new here, and its earlier node alive with this MAC at another address.
    const published = inKey !== undefined && inKey !== stored && isTaken(inKey) ? undefined : inKey;
    return { subnet, publicIp, vtepMac: ownVtepMac({ published, adopted, stored, isTaken }) };
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
  leases: EtcdLeases,
): Promise<OwnKey | undefined> {
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
