/**
 * Prints the underlay that is chosen in this namespace, or the error. Arguments: UnderlayOptions as JSON, families
 * (IPv4).
 */

import { type Family, valuesOf } from '../../../src/control/addresses/family.js';
import { formatIp } from '../../../src/control/addresses/ip.js';
import { readLinks } from '../../../src/control/kernel/links.js';
import type { UnderlayOptions } from '../../../src/control/options.js';
import { chooseUnderlay } from '../../../src/control/underlay/choose.js';

const options: UnderlayOptions = {
  iface: [],
  ifaceRegex: [],
  ifaceCanReach: undefined,
  publicIp: {},
  ...(JSON.parse(process.argv[2] ?? '{}') as Partial<UnderlayOptions>),
};
try {
  const given = process.argv.length > 3 ? (process.argv.slice(3) as Family[]) : (['ipv4'] as const);
  const { link, families } = await chooseUnderlay(await readLinks(), options, given);
  const texts = valuesOf(families).map(
    ({ publicIp, addresses }) => `${formatIp(publicIp)} [${addresses.map(formatIp).join(' ')}]`,
  );
  console.log([link.name, ...texts].join(' '));
} catch (error) {
  console.log((error as Error).message);
}
