/** Prints the underlay that is chosen in this namespace for the UnderlayOptions in its one argument, or why there is none. */

import { formatIpv4 } from '../../../src/control/ipv4.js';
import { readLinks } from '../../../src/control/network/links.js';
import { chooseUnderlay } from '../../../src/control/network/underlay.js';
import type { UnderlayOptions } from '../../../src/control/options.js';

const options: UnderlayOptions = {
  iface: [],
  ifaceRegex: [],
  ifaceCanReach: undefined,
  publicIp: undefined,
  publicIpv6: undefined,
  ...(JSON.parse(process.argv[2] ?? '{}') as Partial<UnderlayOptions>),
};
try {
  const { link, addresses, publicIp } = await chooseUnderlay(await readLinks(), options);
  console.log(`${link.name} ${formatIpv4(publicIp)} [${addresses.map(formatIpv4).join(' ')}]`);
} catch (error) {
  console.log((error as Error).message);
}
