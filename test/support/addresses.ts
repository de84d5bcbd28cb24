/** Addresses and networks written as text. */

import { type Cidr, parseCidr } from '../../src/control/addresses/cidr.js';
import { type Ip, parseIp } from '../../src/control/addresses/ip.js';

export function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(`not an address: ${text}`);
  return parsed;
}

export function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(`not a network: ${text}`);
  return parsed;
}
