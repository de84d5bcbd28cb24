import { parseCidr, parseIpv4 } from '../../src/control/addresses/ipv4.js';
import type { Lease } from '../../src/control/leases/lease.js';

/** Returns a lease in control's form. */
export function leaseOf(subnet: string, publicIp: string, vtepMac?: string): Lease {
  const { address, prefix } = parseCidr(subnet) as { address: number; prefix: number };
  return { subnet: { base: address, prefix }, publicIp: parseIpv4(publicIp) as number, vtepMac };
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
