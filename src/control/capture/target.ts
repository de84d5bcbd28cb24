/** Whose packets a capture records: those of one peer, or of all. */

import { lookup } from 'node:dns/promises';
import { within } from '../../sys/within.js';
import { containsAddress } from '../addresses/cidr.js';
import { familyOf, formatIp, type Ip, parseIp } from '../addresses/ip.js';
import type { Lease } from '../leases/lease.js';
import type { LeaseSource } from '../leases/source.js';
import { show, UserError } from '../support/user-error.js';

/** How long the name service may take; the client of a capture waits longer. */
const LOOKUP_MS = 5000;

/** Returns the addresses that the name service has for a name. */
export type Resolve = (name: string) => Promise<string[]>;

const resolveName: Resolve = async (name) =>
  (await lookup(name, { all: true })).map(({ address }) => address);

/** Returns the peer among `peers` that has the address: its public IP, or an address of its pods. */
function peerOf(peers: readonly Lease[], address: Ip): Lease | undefined {
  const family = familyOf(address);
  return (
    peers.find(({ publicIp }) => publicIp === address) ??
    peers.find(({ subnet }) => familyOf(subnet.base) === family && containsAddress(subnet, address))
  );
}

/** Returns the addresses that a name of a node stands for: by the lease source, or else by the name service. */
async function addressesOf(
  name: string,
  source: Pick<LeaseSource, 'addressesOf'>,
  resolve: Resolve,
  limitMs: number,
): Promise<Ip[]> {
  const known = source.addressesOf?.(name) ?? [];
  const found = known.length > 0 ? Promise.resolve(known) : resolve(name);
  if (!(await within(found, limitMs))) throw new Error('the name service does not answer');
  return (await found).map((text) => parseIp(text)).filter((ip) => ip !== undefined);
}

/**
 * Returns the public IPs of the peer that `text` names: an address of the node, of one of its pods, or its name. A node of
 * a dual-stack cluster has one of each family, and an address names that of its own family. @throws UserError for no peer,
 * or several. `resolve` and `limitMs` are replaced by tests.
 */
export async function findPeer(
  text: string,
  peers: readonly Lease[],
  source: Pick<LeaseSource, 'addressesOf'>,
  resolve: Resolve = resolveName,
  limitMs = LOOKUP_MS,
): Promise<Ip[]> {
  const address = parseIp(text);
  let addresses: Ip[] = [];
  let reason = '';
  try {
    addresses = address === undefined ? await addressesOf(text, source, resolve, limitMs) : [address];
  } catch (error) {
    reason = ` (${(error as Error).message})`;
  }
  const found = addresses.map((one) => peerOf(peers, one)).filter((lease) => lease !== undefined);
  if (found.length === 0)
    throw new UserError(
      `--peer ${show(text)}: no peer has this ${address === undefined ? `name${reason}` : 'address'}; weft status lists the peers`,
    );
  const publicIps = [...new Set(found.map(({ publicIp }) => publicIp))];
  if (new Set(publicIps.map(familyOf)).size < publicIps.length)
    throw new UserError(
      `--peer ${show(text)}: the name stands for several peers, ${listed(publicIps)}; use an address`,
    );
  return publicIps;
}

/** Returns the addresses as text, for messages. */
export function listed(addresses: readonly Ip[]): string {
  return addresses.map(formatIp).join(' and ');
}
