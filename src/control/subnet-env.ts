/** subnet.env, the file from which flannel's CNI plugin learns the node's subnet, and weft the one it had before. */

import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseEnv } from 'node:util';
import { familyOf, formatIp, formatSubnet, type Ip, parseSubnet, type Subnet } from './addresses/address.js';
import type { Ipv4 } from './addresses/ipv4.js';
import type { Ipv6 } from './addresses/ipv6.js';
import { UserError } from './support/user-error.js';

/** The pods' networks of one family: the cluster's, and this node's part of it. */
export interface PodSubnets<A extends Ip = Ip> {
  network: Subnet<A>;
  subnet: Subnet<A>;
}

export interface SubnetEnv {
  ipv4?: PodSubnets<Ipv4> | undefined;
  ipv6?: PodSubnets<Ipv6> | undefined;
  /** The least MTU of the overlay devices. */
  mtu: number;
  ipMasq: boolean;
}

/** flannel's format to the byte (its subnet.WriteSubnetFile): the subnet as its first host address. */
export function formatSubnetEnv({ ipv4, ipv6, mtu, ipMasq }: SubnetEnv): string {
  return [
    ...(ipv4 ? linesOf('FLANNEL', ipv4, ipv4.subnet.base + 1) : []),
    ...(ipv6 ? linesOf('FLANNEL_IPV6', ipv6, ipv6.subnet.base + 1n) : []),
    `FLANNEL_MTU=${mtu}`,
    `FLANNEL_IPMASQ=${ipMasq}`,
    '',
  ].join('\n');
}

function linesOf(prefix: string, { network, subnet }: PodSubnets, firstHost: Ip): string[] {
  return [
    `${prefix}_NETWORK=${formatSubnet(network)}`,
    `${prefix}_SUBNET=${formatIp(firstHost)}/${subnet.prefix}`,
  ];
}

/** Writes the file whole or not at all: a reader sees the old or the new text. @throws UserError */
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

/** What an earlier run has left, as far as it can be read. */
export interface EarlierSubnets {
  ipv4: Partial<PodSubnets<Ipv4>>;
  ipv6: Partial<PodSubnets<Ipv6>>;
}

export async function readSubnetEnv(path: string): Promise<EarlierSubnets> {
  const env = parseEnv(await readFile(path, 'utf8').catch(() => ''));
  const pair = (prefix: string, family: string): Partial<PodSubnets> => {
    const network = parseSubnet(env[`${prefix}_NETWORK`] ?? '');
    const subnet = parseSubnet(env[`${prefix}_SUBNET`] ?? '');
    return {
      ...(network && familyOf(network.base) === family && { network }),
      ...(subnet && familyOf(subnet.base) === family && { subnet }),
    };
  };
  return {
    ipv4: pair('FLANNEL', 'ipv4') as Partial<PodSubnets<Ipv4>>,
    ipv6: pair('FLANNEL_IPV6', 'ipv6') as Partial<PodSubnets<Ipv6>>,
  };
}
