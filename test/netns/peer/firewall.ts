/**
 * A firewall as the daemon runs it, in the namespace of its start. It applies rules, prints `applied`, watches until
 * SIGTERM, and prints the number of repairs. Its argument is a FirewallJob as JSON.
 */

import { once } from 'node:events';
import type { Family } from '../../../src/control/addresses/family.js';
import { Firewall, removeRules } from '../../../src/control/firewall/firewall.js';
import type { FirewallOptions } from '../../../src/control/firewall/rules.js';
import type { PodSubnets } from '../../../src/control/subnet-env.js';
import { cidr } from '../../support/addresses.js';

export interface FirewallJob {
  /** Without options it removes all rules and prints where there were some. */
  readonly options?: FirewallOptions;
  readonly ranges: readonly TextRange[];
}

interface TextSubnets {
  readonly network: string;
  readonly subnet: string;
}

/** A FirewallRange with its networks as text. */
interface TextRange extends TextSubnets {
  readonly family: Family;
  readonly previous: TextSubnets | undefined;
}

function parse({ network, subnet }: TextSubnets): PodSubnets {
  return { network: cidr(network), subnet: cidr(subnet) };
}

const { options, ranges } = JSON.parse(process.argv[2] ?? '{}') as FirewallJob;

if (options === undefined) {
  const removed: string[] = [];
  await removeRules((place) => removed.push(place));
  console.log(`removed: ${removed.join(', ')}`);
} else {
  const alive = setInterval(() => {}, 60_000);
  const ended = once(process, 'SIGTERM');
  const firewall = await Firewall.open(options);
  for (const range of ranges) {
    const { family, previous } = range;
    await firewall.apply({ family, ...parse(range), previous: previous && parse(previous) });
  }
  firewall.watch();
  console.log('applied');
  await ended;
  await firewall.close();
  console.log(`${firewall.repairs} repairs`);
  clearInterval(alive);
}
