/**
 * The subnets that nodes may have: SubnetLen, SubnetMin and SubnetMax of net-conf.json and their IPv6 counterparts, by
 * flannel's rules and in its words (pkg/subnet/config.go).
 */

import { baseOf, type Cidr, lastOf } from '../addresses/cidr.js';
import { bitsOf, type Family } from '../addresses/family.js';
import { familyOf, type Ip, nextIp, parseIp } from '../addresses/ip.js';
import type { JsonObject } from '../support/json-file.js';

/** The subnets from `min` to `max`, all with the prefix length `length`. */
export interface SubnetRange {
  length: number;
  min: Ip;
  max: Ip;
}

/** A family's keys, and its limits where SubnetLen is absent. */
interface RangeRules {
  network: string;
  length: string;
  min: string;
  max: string;
  /** The longest useful prefix length of a network. */
  smallest: number;
  /** The prefix length of a subnet, where the network has room for four. */
  usual: number;
}

export const RANGE_RULES: Record<Family, RangeRules> = {
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
export function readSubnetRange(root: JsonObject, network: Cidr): SubnetRange {
  const family = familyOf(network.base);
  const bits = bitsOf(family);
  const rules = RANGE_RULES[family];
  const given = root.integer(rules.length, 0, bits) ?? 0;
  if (given === 0 && network.prefixLength > rules.smallest) {
    const what = family === 'ipv4' ? 'network' : rules.network;
    throw root.error(
      rules.network,
      `${what} is too small. Minimum useful network prefix is /${rules.smallest}`,
    );
  }
  if (given > bits - 2) throw root.error(rules.length, `SubnetLen must be less than /${bits - 1}`);
  if (given !== 0 && given < network.prefixLength + 2) {
    throw root.error(
      rules.length,
      'network must be able to accommodate at least four subnets; use a larger value',
    );
  }
  const length = given || Math.max(rules.usual, network.prefixLength + 2);
  const readBound = (key: string): Ip | undefined => {
    const address = readAddress(root, key, family);
    if (address === undefined) return undefined;
    if (address < network.base || address > lastOf(network)) {
      throw root.error(key, `${key} is not in the range of the ${rules.network}`);
    }
    if (baseOf(address, length) !== address) {
      throw root.error(key, `${key} is not on a SubnetLen boundary`);
    }
    return address;
  };
  return {
    length,
    // The first subnet is left out, because its base is the network's own address.
    min: readBound(rules.min) ?? nextIp(lastOf({ base: network.base, prefixLength: length })),
    max: readBound(rules.max) ?? baseOf(lastOf(network), length),
  };
}

function readAddress(root: JsonObject, key: string, family: Family): Ip | undefined {
  const text = root.string(key);
  if (text === undefined || text === '') return undefined;
  const address = parseIp(text);
  if (address !== undefined && familyOf(address) === family) return address;
  if (family === 'ipv6') throw root.error(key, 'not an IPv6 address');
  throw root.error(
    key,
    address === undefined ? 'not an IPv4 address' : 'this is IPv6; write an IPv4 address',
  );
}
