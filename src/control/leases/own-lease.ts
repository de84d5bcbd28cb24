/** Which lease is this node's. */

import type { NetConf } from '../config/net-conf.js';
import { contains, formatCidr, formatIpv4, type Ipv4 } from '../ipv4.js';
import { UserError } from '../user-error.js';
import type { Lease } from './lease.js';

export interface OwnAddresses {
  /** The underlay interface, for messages. */
  interface: string;
  /** Its addresses: the first that has a lease is this node's public IP. */
  addresses: readonly Ipv4[];
}

/** @throws UserError when no lease has one of the addresses, or its subnet is not of the cluster's network */
export function findOwnLease(
  leases: readonly Lease[],
  own: OwnAddresses,
  netConf: NetConf,
  source: string,
): Lease {
  const byAddress = new Map(leases.map((lease) => [lease.publicIp, lease]));
  const address = own.addresses.find((candidate) => byAddress.has(candidate));
  const lease = address === undefined ? undefined : byAddress.get(address);
  if (lease === undefined) {
    const addresses = own.addresses.map(formatIpv4).join(', ');
    throw new UserError(
      `${source}: no lease for this node: interface ${own.interface} has ${addresses}; add a lease with this PublicIP, or name another interface with --iface`,
    );
  }
  if (!contains(netConf.network, lease.subnet)) {
    throw new UserError(
      `${source}: subnet "${formatCidr(netConf.network)}" specified in the flannel net config doesn't contain "${formatCidr(lease.subnet)}", the lease of this node (PublicIP ${formatIpv4(lease.publicIp)}); correct Network or the lease`,
    );
  }
  return lease;
}
