/**
 * Prints the underlay that is chosen in this namespace, or the error. Arguments: UnderlayOptions as JSON, families
 * (IPv4).
 */

import { type Family, formatIp, type Ip } from '../../../src/control/addresses/address.js';
import { readLinks } from '../../../src/control/kernel/links.js';
import type { UnderlayOptions } from '../../../src/control/options.js';
import { chooseUnderlay, type Side } from '../../../src/control/underlay/choose.js';

const options: UnderlayOptions = {
  iface: [],
  ifaceRegex: [],
  ifaceCanReach: undefined,
  publicIp: undefined,
  publicIpv6: undefined,
  ...(JSON.parse(process.argv[2] ?? '{}') as Partial<UnderlayOptions>),
};
try {
  const families = process.argv.length > 3 ? (process.argv.slice(3) as Family[]) : (['ipv4'] as const);
  const { link, ipv4, ipv6 } = await chooseUnderlay(await readLinks(), options, families);
  const text = ({ publicIp, addresses }: Side<Ip>) =>
    `${formatIp(publicIp)} [${addresses.map(formatIp).join(' ')}]`;
  console.log([link.name, ...[ipv4, ipv6].flatMap((side) => (side ? [text(side)] : []))].join(' '));
} catch (error) {
  console.log((error as Error).message);
}
