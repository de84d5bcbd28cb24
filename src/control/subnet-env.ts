/** subnet.env: flannel's CNI plugin reads the node's subnet from it, and Weft the node's earlier subnet. */

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
import { warn } from './support/log.js';
import { readTextFile, type UnreadableFile } from './support/read-file.js';
import { TextFile } from './support/text-file.js';
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

/** Returns the file at this path, which all may read. */
export function subnetFile(path: string): TextFile {
  return new TextFile(path, 0o644);
}

/** Writes the file. @throws UserError; the file remembers the text and can be restored later */
export async function writeSubnetEnv(file: TextFile, env: SubnetEnv): Promise<void> {
  try {
    await file.write(formatSubnetEnv(env));
  } catch (error) {
    throw new UserError(`--subnet-file ${file.path}: cannot be written: ${(error as Error).message}`);
  }
}

/**
 * Reads what an earlier run wrote, as far as it parses: an object for either family, empty without its lines. A file that
 * cannot be read is logged.
 */
export async function readSubnetEnv(path: string): Promise<PerFamily<Partial<PodSubnets>>> {
  const env = parseEnv(await readTextFile(path).catch((error: UnreadableFile) => unread(path, error)));
  return perFamily(FAMILIES, (family) => {
    const network = parseCidr(env[KEYS[family].network] ?? '', family);
    const subnet = parseCidr(env[KEYS[family].subnet] ?? '', family);
    return { ...(network && { network }), ...(subnet && { subnet }) };
  });
}

/** Returns whether the file at the path is a subnet.env; undefined if there is no file. */
export async function isSubnetEnv(path: string): Promise<boolean | undefined> {
  try {
    return /^FLANNEL_(?:IPV6_)?SUBNET=/m.test(await readTextFile(path));
  } catch (error) {
    return (error as UnreadableFile).isMissing ? undefined : false;
  }
}

function unread(path: string, { isMissing, message }: UnreadableFile): string {
  if (!isMissing) warn(`--subnet-file ${path}: the earlier subnet is not read: ${message}`);
  return '';
}
