/** Finds this node's lease in a lease file. */

import { type Cidr, contains, formatCidr } from '../../addresses/cidr.js';
import { familyOf, formatIp, type Ip } from '../../addresses/ip.js';
import { UserError } from '../../support/user-error.js';
import type { Lease } from '../lease.js';

export interface OwnAddresses {
  /** Name of the underlay interface, for messages. */
  interface: string;
  /** Its addresses: the first with a lease is this node's public IP. */
  addresses: readonly Ip[];
}

/** @throws UserError when no lease has one of the addresses, or its subnet lies outside the cluster's network */
export function findOwnLease(
  leases: readonly Lease[],
  own: OwnAddresses,
  network: Cidr,
  source: string,
): Lease {
  const byAddress = new Map(leases.map((lease) => [lease.publicIp, lease]));
  const lease = own.addresses.map((address) => byAddress.get(address)).find((found) => found !== undefined);
  const [publicIp, net] =
    familyOf(network.base) === 'ipv6' ? ['PublicIPv6', 'IPv6Network'] : ['PublicIP', 'Network'];
  if (lease === undefined) {
    const addresses = own.addresses.map(formatIp).join(', ');
    throw new UserError(
      `${source}: no lease for this node: interface ${own.interface} has ${addresses}; add a lease with this ${publicIp}, or name another interface with --iface`,
    );
  }
  if (!contains(network, lease.subnet)) {
    throw new UserError(
      `${source}: subnet "${formatCidr(network)}" specified in the flannel net config doesn't contain "${formatCidr(lease.subnet)}", the lease of this node (${publicIp} ${formatIp(lease.publicIp)}); correct ${net} or the lease`,
    );
  }
  return lease;
}
