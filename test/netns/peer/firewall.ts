/**
 * A firewall as the daemon runs it, in the namespace of its start: it applies rules, prints `applied`, watches until
 * SIGTERM, and prints the number of repairs. Its argument is a FirewallJob as JSON.
 */

import { once } from 'node:events';
import { Firewall, type FirewallRange, removeRules } from '../../../src/control/firewall/firewall.js';
import type { FirewallOptions } from '../../../src/control/firewall/rules.js';

export interface FirewallJob {
  /** Without options it removes all rules and prints where there were some. */
  readonly options?: FirewallOptions;
  readonly ranges: readonly FirewallRange[];
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
  for (const range of ranges) await firewall.apply(range);
  firewall.watch();
  console.log('applied');
  await ended;
  await firewall.close();
  console.log(`${firewall.repairs} repairs`);
  clearInterval(alive);
}
