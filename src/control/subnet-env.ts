/** subnet.env: flannel's CNI plugin reads the node's subnet from it, and Weft the node's earlier subnet. */

import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseEnv } from 'node:util';
import { type Cidr, formatCidr, parseCidr } from './addresses/cidr.js';
import {
  FAMILIES,
  type Family,
  mapFamilies,
  type PerFamily,
  perFamily,
  valuesOf,
} from './addresses/family.js';
import { formatIp, nextIp } from './addresses/ip.js';
import { UserError } from './support/user-error.js';

/** The pod networks of one family: the cluster's, and this node's part of it. */
export interface PodSubnets {
  network: Cidr;
  subnet: Cidr;
}

export interface SubnetEnv {
  networks: PerFamily<PodSubnets>;
  /** The smallest MTU of the overlay devices. */
  mtu: number;
  ipMasq: boolean;
}

const KEYS: Record<Family, { network: string; subnet: string }> = {
  ipv4: { network: 'FLANNEL_NETWORK', subnet: 'FLANNEL_SUBNET' },
  ipv6: { network: 'FLANNEL_IPV6_NETWORK', subnet: 'FLANNEL_IPV6_SUBNET' },
};

/** Returns flannel's format to the byte (its subnet.WriteSubnetFile): the subnet as its first host address. */
export function formatSubnetEnv({ networks, mtu, ipMasq }: SubnetEnv): string {
  const lines = mapFamilies(networks, ({ network, subnet }, family) => [
    `${KEYS[family].network}=${formatCidr(network)}`,
    `${KEYS[family].subnet}=${formatIp(nextIp(subnet.base))}/${subnet.prefixLength}`,
  ]);
  return [...valuesOf(lines).flat(), `FLANNEL_MTU=${mtu}`, `FLANNEL_IPMASQ=${ipMasq}`, ''].join('\n');
}

/** Writes the file atomically: a reader sees the old or the new text. @throws UserError */
export async function writeSubnetEnv(path: string, env: SubnetEnv): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    const file = await open(temporary, 'w', 0o644);
    try {
      await file.chmod(0o644);
      await file.writeFile(formatSubnetEnv(env));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw new UserError(`--subnet-file ${path}: cannot be written: ${(error as Error).message}`);
  }
}

/** Reads what an earlier run wrote, as far as it parses: an object for either family, empty without its lines. */
export async function readSubnetEnv(path: string): Promise<PerFamily<Partial<PodSubnets>>> {
  const env = parseEnv(await readFile(path, 'utf8').catch(() => ''));
  return perFamily(FAMILIES, (family) => {
    const network = parseCidr(env[KEYS[family].network] ?? '', family);
    const subnet = parseCidr(env[KEYS[family].subnet] ?? '', family);
    return { ...(network && { network }), ...(subnet && { subnet }) };
  });
}
