/** Which lease is this node's. */

import { formatIp, formatSubnet, holds, type Ip, type Subnet } from '../addresses/address.js';
import { UserError } from '../support/user-error.js';
import type { Lease } from './lease.js';

export interface OwnAddresses<A extends Ip> {
  /** The underlay interface, for messages. */
  interface: string;
  /** Its addresses: the first that has a lease is this node's public IP. */
  addresses: readonly A[];
}

/** @throws UserError when no lease has one of the addresses, or its subnet is not of the cluster's network */
export function findOwnLease<A extends Ip>(
  leases: readonly Lease<A>[],
  own: OwnAddresses<A>,
  network: Subnet<A>,
  source: string,
): Lease<A> {
  const byAddress = new Map(leases.map((lease) => [lease.publicIp, lease]));
  const address = own.addresses.find((candidate) => byAddress.has(candidate));
  const lease = address === undefined ? undefined : byAddress.get(address);
  const [publicIp, net] =
    typeof network.base === 'bigint' ? ['PublicIPv6', 'IPv6Network'] : ['PublicIP', 'Network'];
  if (lease === undefined) {
    const addresses = own.addresses.map(formatIp).join(', ');
    throw new UserError(
      `${source}: no lease for this node: interface ${own.interface} has ${addresses}; add a lease with this ${publicIp}, or name another interface with --iface`,
    );
  }
  if (!holds(network, lease.subnet)) {
    throw new UserError(
      `${source}: subnet "${formatSubnet(network)}" specified in the flannel net config doesn't contain "${formatSubnet(lease.subnet)}", the lease of this node (${publicIp} ${formatIp(lease.publicIp)}); correct ${net} or the lease`,
    );
  }
  return lease;
}
