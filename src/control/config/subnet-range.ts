/** SubnetLen, SubnetMin and SubnetMax of net-conf.json, by flannel's rules and in its words (subnet/config.go). */

import { type Cidr, isIpv6, lastAddress, networkOf, parseIpv4 } from '../ipv4.js';
import type { JsonObject } from './json-file.js';

/** @throws UserError when the three contradict each other or the network */
export function checkSubnetRange(root: JsonObject, network: Cidr): void {
  const length = root.integer('SubnetLen', 0, 32) ?? 0;
  const minimum = readAddress(root, 'SubnetMin');
  const maximum = readAddress(root, 'SubnetMax');
  if (length === 0 && network.prefix > 28) {
    throw root.error('Network', 'network is too small. Minimum useful network prefix is /28');
  }
  if (length > 30) throw root.error('SubnetLen', 'SubnetLen must be less than /31');
  if (length !== 0 && length < network.prefix + 2) {
    throw root.error(
      'SubnetLen',
      'network must be able to accommodate at least four subnets; use a longer one',
    );
  }
  for (const [key, address] of [
    ['SubnetMin', minimum],
    ['SubnetMax', maximum],
  ] as const) {
    if (address === undefined) continue;
    if (address < network.base || address > lastAddress(network)) {
      throw root.error(key, `${key} is not in the range of the Network`);
    }
    if (networkOf(address, length === 0 ? defaultLength(network) : length) !== address) {
      throw root.error(key, `${key} is not on a SubnetLen boundary`);
    }
  }
}

function defaultLength(network: Cidr): number {
  return network.prefix <= 22 ? 24 : Math.min(network.prefix + 2, 30);
}

function readAddress(root: JsonObject, key: string): number | undefined {
  const text = root.string(key);
  if (text === undefined || text === '') return undefined;
  const address = parseIpv4(text);
  if (address === undefined) {
    throw root.error(key, isIpv6(text) ? 'this is IPv6; write an IPv4 address' : 'no IPv4 address');
  }
  return address;
}
