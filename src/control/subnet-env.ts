/** subnet.env, the file from which flannel's CNI plugin learns the node's subnet, and weft the one it had before. */

import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseEnv } from 'node:util';
import { type Cidr, formatCidr, formatIpv4, networkOf, parseCidr } from './ipv4.js';
import { UserError } from './user-error.js';

export interface SubnetEnv {
  network: Cidr;
  subnet: Cidr;
  /** MTU of the overlay device. */
  mtu: number;
  ipMasq: boolean;
}

/** flannel's format to the byte (its subnet.WriteSubnetFile): the subnet as its first host address. */
export function formatSubnetEnv({ network, subnet, mtu, ipMasq }: SubnetEnv): string {
  return [
    `FLANNEL_NETWORK=${formatCidr(network)}`,
    `FLANNEL_SUBNET=${formatIpv4(subnet.base + 1)}/${subnet.prefix}`,
    `FLANNEL_MTU=${mtu}`,
    `FLANNEL_IPMASQ=${ipMasq}`,
    '',
  ].join('\n');
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

/** What an earlier run has left in the file, as far as it can be read. */
export async function readSubnetEnv(path: string): Promise<Partial<Pick<SubnetEnv, 'network' | 'subnet'>>> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const { FLANNEL_NETWORK, FLANNEL_SUBNET } = parseEnv(text);
  const network = networkIn(FLANNEL_NETWORK);
  const subnet = networkIn(FLANNEL_SUBNET);
  return { ...(network && { network }), ...(subnet && { subnet }) };
}

function networkIn(text = ''): Cidr | undefined {
  const parsed = parseCidr(text);
  return parsed && { base: networkOf(parsed.address, parsed.prefix), prefix: parsed.prefix };
}
