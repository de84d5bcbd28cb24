/** The dry run of `weft doctor`: everything that `weft run` checks before it changes anything. */

import { Firewall } from './firewall/firewall.js';
import type { Cluster, LeaseSource } from './leases/source.js';
import { refuseTakenPort } from './open-dataplane.js';
import type { RunOptions } from './options.js';
import { boundAddress, firewallOptions, formatEndpoint, makePlan, underlayTracker } from './plan.js';

/** Checks this configuration and returns a line about what would run. @throws UserError naming the first problem */
export async function rehearse(
  options: RunOptions,
  source: LeaseSource,
  cluster: Cluster,
  signal: AbortSignal,
): Promise<string> {
  const underlay = await underlayTracker(options, cluster).choose();
  const plan = await makePlan(options, cluster, underlay);
  await Firewall.open(firewallOptions(options, plan.netConf));
  const own = await source.preview(plan.request, signal);
  const devices = plan.families.map((family) => {
    const { backend, mtu, link, address } = family;
    const lease = own[family.family] ?? address;
    refuseTakenPort(family, plan.links, lease);
    return `${backend.device} with MTU ${mtu} over ${link.name}, UDP ${formatEndpoint(boundAddress(family, lease), backend.conf.port)}`;
  });
  return `backend ${plan.netConf.backend.type}: ${devices.join('; ')}`;
}
