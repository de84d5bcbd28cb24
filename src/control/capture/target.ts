/** Whose packets a capture records: those of one peer, or of all. */

import { lookup } from 'node:dns/promises';
import { containsAddress } from '../addresses/cidr.js';
import { familyOf, formatIp, type Ip, parseIp } from '../addresses/ip.js';
import type { Lease } from '../leases/lease.js';
import type { LeaseSource } from '../leases/source.js';
import { show, UserError } from '../support/user-error.js';

/** Returns the peer among `peers` that has the address: its public IP, or an address of its pods. */
function peerOf(peers: readonly Lease[], address: Ip): Lease | undefined {
  const family = familyOf(address);
  return (
    peers.find(({ publicIp }) => publicIp === address) ??
    peers.find(({ subnet }) => familyOf(subnet.base) === family && containsAddress(subnet, address))
  );
}

/** Returns the addresses that a name of a node stands for: by the lease source, or else by the name service. */
async function addressesOf(name: string, source: Pick<LeaseSource, 'addressesOf'>): Promise<Ip[]> {
  const known = source.addressesOf?.(name) ?? [];
  const texts = known.length > 0 ? known : (await lookup(name, { all: true })).map(({ address }) => address);
  return texts.map((text) => parseIp(text)).filter((ip) => ip !== undefined);
}

/**
 * Returns the public IPs of the peer that `text` names: an address of the node, of one of its pods, or its name. A node of
 * a dual-stack cluster has one of each family, and an address names that of its own family. @throws UserError for no peer,
 * or several
 */
export async function findPeer(
  text: string,
  peers: readonly Lease[],
  source: Pick<LeaseSource, 'addressesOf'>,
): Promise<Ip[]> {
  const address = parseIp(text);
  let addresses: Ip[] = [];
  let reason = '';
  try {
    addresses = address === undefined ? await addressesOf(text, source) : [address];
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
