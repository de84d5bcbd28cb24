/**
 * Which subnets a node may have: SubnetLen, SubnetMin and SubnetMax of net-conf.json and their IPv6 counterparts, by
 * flannel's rules and in its words (pkg/subnet/config.go).
 */

import {
  baseOf,
  bitsOf,
  type Family,
  familyOf,
  type Ip,
  lastOf,
  parseIp,
  type Subnet,
} from '../addresses/address.js';
import { type Ipv4, isIpv6 } from '../addresses/ipv4.js';
import type { JsonObject } from '../support/json-file.js';

/** The subnets from `min` to `max`, both with `length` bits of prefix. */
export interface SubnetRange<A extends Ip = Ipv4> {
  length: number;
  min: A;
  max: A;
}

/** What a family's keys are called, and what is right for its networks. */
interface Rules {
  network: string;
  length: string;
  min: string;
  max: string;
  /** Without a length: the longest network that is of use, and the length for one that has room for it. */
  smallest: number;
  usual: number;
}

export const RANGE_RULES: Record<Family, Rules> = {
  ipv4: {
    network: 'Network',
    length: 'SubnetLen',
    min: 'SubnetMin',
    max: 'SubnetMax',
    smallest: 28,
    usual: 24,
  },
  ipv6: {
    network: 'IPv6Network',
    length: 'IPv6SubnetLen',
    min: 'IPv6SubnetMin',
    max: 'IPv6SubnetMax',
    smallest: 124,
    usual: 64,
  },
};

/** @throws UserError when the three contradict each other or the network */
export function readSubnetRange<A extends Ip>(root: JsonObject, network: Subnet<A>): SubnetRange<A> {
  const family = familyOf(network.base);
  const bits = bitsOf(network.base);
  const rules = RANGE_RULES[family];
  const given = root.integer(rules.length, 0, bits) ?? 0;
  const minimum = readAddress(root, rules.min, family) as A | undefined;
  const maximum = readAddress(root, rules.max, family) as A | undefined;
  if (given === 0 && network.prefix > rules.smallest) {
    const what = family === 'ipv4' ? 'network' : rules.network;
    throw root.error(
      rules.network,
      `${what} is too small. Minimum useful network prefix is /${rules.smallest}`,
    );
  }
  if (given > bits - 2) throw root.error(rules.length, `SubnetLen must be less than /${bits - 1}`);
  if (given !== 0 && given < network.prefix + 2) {
    throw root.error(
      rules.length,
      'network must be able to accommodate at least four subnets; use a longer one',
    );
  }
  const length = given || (network.prefix <= rules.usual - 2 ? rules.usual : network.prefix + 2);
  for (const [key, address] of [
    [rules.min, minimum],
    [rules.max, maximum],
  ] as const) {
    if (address === undefined) continue;
    if (address < network.base || address > lastOf(network)) {
      throw root.error(key, `${key} is not in the range of the ${rules.network}`);
    }
    if (baseOf(address, length) !== address) {
      throw root.error(key, `${key} is not on a SubnetLen boundary`);
    }
  }
  return {
    length,
    // The first subnet of a network is left out: its base is the network's own address.
    min: minimum ?? after(lastOf({ base: network.base, prefix: length })),
    max: maximum ?? baseOf(lastOf(network), length),
  };
}

function after<A extends Ip>(address: A): A {
  return (typeof address === 'bigint' ? address + 1n : (address as Ipv4) + 1) as A;
}

function readAddress(root: JsonObject, key: string, family: Family): Ip | undefined {
  const text = root.string(key);
  if (text === undefined || text === '') return undefined;
  const address = parseIp(text);
  if (address !== undefined && familyOf(address) === family) return address;
  if (family === 'ipv6') throw root.error(key, 'no IPv6 address');
  throw root.error(key, isIpv6(text) ? 'this is IPv6; write an IPv4 address' : 'no IPv4 address');
}
