import type { Lease } from '../../src/control/leases/lease.js';
import { cidr, ip } from './addresses.js';

/** Returns a lease in control's form. */
export function leaseOf(subnet: string, publicIp: string, vtepMac?: string): Lease {
  return { subnet: cidr(subnet), publicIp: ip(publicIp), vtepMac };
}

/** Returns the lease of node `index` in the pattern of all examples. */
export function nodeLease(index: number): Lease {
  const mac = `02:00:00:00:${(index >> 8).toString(16).padStart(2, '0')}:${(index & 255).toString(16).padStart(2, '0')}`;
  return leaseOf(
    `10.${244 + (index >> 8)}.${index & 255}.0/24`,
    `192.168.${77 + (index >> 8)}.${index & 255}`,
    mac,
  );
}
