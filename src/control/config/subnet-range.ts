/**
 * Which subnets a node may have: SubnetLen, SubnetMin and SubnetMax of net-conf.json and their IPv6 counterparts, by
 * flannel's rules and in its words (pkg/subnet/config.go).
 */

import type { Ip } from '../address.js';
import { type Cidr, type Ipv4, isIpv6, lastAddress, networkOf, parseIpv4 } from '../ipv4.js';
import { type Cidr6, type Ipv6, lastAddress6, network6Of, parseIpv6 } from '../ipv6.js';
import type { JsonObject } from './json-file.js';

/** The subnets from `min` to `max`, both with `length` bits of prefix. */
export interface SubnetRange<A extends Ip = Ipv4> {
  length: number;
  min: A;
  max: A;
}

/** What is said of both families. */
const TOO_FEW = 'network must be able to accommodate at least four subnets; use a longer one';

/** @throws UserError when the three contradict each other or the network */
export function readSubnetRange(root: JsonObject, network: Cidr): SubnetRange {
  const given = root.integer('SubnetLen', 0, 32) ?? 0;
  const minimum = readAddress(root, 'SubnetMin');
  const maximum = readAddress(root, 'SubnetMax');
  if (given === 0 && network.prefix > 28) {
    throw root.error('Network', 'network is too small. Minimum useful network prefix is /28');
  }
  if (given > 30) throw root.error('SubnetLen', 'SubnetLen must be less than /31');
  if (given !== 0 && given < network.prefix + 2) throw root.error('SubnetLen', TOO_FEW);
  const length = given !== 0 ? given : network.prefix <= 22 ? 24 : network.prefix + 2;
  for (const [key, address] of [
    ['SubnetMin', minimum],
    ['SubnetMax', maximum],
  ] as const) {
    if (address === undefined) continue;
    if (address < network.base || address > lastAddress(network)) {
      throw root.error(key, `${key} is not in the range of the Network`);
    }
    if (networkOf(address, length) !== address) {
      throw root.error(key, `${key} is not on a SubnetLen boundary`);
    }
  }
  return {
    length,
    // The first subnet of a network is left out: its base is the network's own address.
    min: minimum ?? network.base + 2 ** (32 - length),
    max: maximum ?? networkOf(lastAddress(network), length),
  };
}

/** The same of IPv6. @throws UserError */
export function readSubnetRange6(root: JsonObject, network: Cidr6): SubnetRange<Ipv6> {
  const given = root.integer('IPv6SubnetLen', 0, 128) ?? 0;
  const minimum = readAddress6(root, 'IPv6SubnetMin');
  const maximum = readAddress6(root, 'IPv6SubnetMax');
  if (given === 0 && network.prefix > 124) {
    throw root.error('IPv6Network', 'IPv6Network is too small. Minimum useful network prefix is /124');
  }
  if (given > 126) throw root.error('IPv6SubnetLen', 'SubnetLen must be less than /127');
  if (given !== 0 && given < network.prefix + 2) throw root.error('IPv6SubnetLen', TOO_FEW);
  const length = given !== 0 ? given : network.prefix <= 62 ? 64 : network.prefix + 2;
  for (const [key, address] of [
    ['IPv6SubnetMin', minimum],
    ['IPv6SubnetMax', maximum],
  ] as const) {
    if (address === undefined) continue;
    if (address < network.base || address > lastAddress6(network)) {
      throw root.error(key, `${key} is not in the range of the IPv6Network`);
    }
    if (network6Of(address, length) !== address) {
      throw root.error(key, `${key} is not on a SubnetLen boundary`);
    }
  }
  return {
    length,
    min: minimum ?? network.base + (1n << BigInt(128 - length)),
    max: maximum ?? network6Of(lastAddress6(network), length),
  };
}

function readAddress(root: JsonObject, key: string): Ipv4 | undefined {
  const text = root.string(key);
  if (text === undefined || text === '') return undefined;
  const address = parseIpv4(text);
  if (address === undefined) {
    throw root.error(key, isIpv6(text) ? 'this is IPv6; write an IPv4 address' : 'no IPv4 address');
  }
  return address;
}

function readAddress6(root: JsonObject, key: string): Ipv6 | undefined {
  const text = root.string(key);
  if (text === undefined || text === '') return undefined;
  const address = parseIpv6(text);
  if (address === undefined) throw root.error(key, 'no IPv6 address');
  return address;
}
