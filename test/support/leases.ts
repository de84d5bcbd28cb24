import type { Lease } from '../../src/control/leases/lease.js';
import { cidr, ip } from './addresses.js';

/** A lease as control has it. */
export function leaseOf(subnet: string, publicIp: string, vtepMac?: string): Lease {
  return { subnet: cidr(subnet), publicIp: ip(publicIp), vtepMac };
}

/** The lease of node `index`, by the pattern of all examples. */
export function nodeLease(index: number): Lease {
  const mac = `02:00:00:00:${(index >> 8).toString(16).padStart(2, '0')}:${(index & 255).toString(16).padStart(2, '0')}`;
  return leaseOf(
    `10.${244 + (index >> 8)}.${index & 255}.0/24`,
    `192.168.${77 + (index >> 8)}.${index & 255}`,
    mac,
  );
}
