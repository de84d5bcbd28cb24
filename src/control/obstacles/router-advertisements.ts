/**
 * A default route from router advertisements on a node that forwards. With accept_ra 1 the kernel ignores advertisements
 * once forwarding is on (include/net/ipv6.h, ipv6_accept_ra), and the route expires.
 */

import { readFile } from 'node:fs/promises';
import { ipJson } from '../kernel/ip.js';
import type { Route } from '../kernel/snapshot.js';
import { shellWord } from '../support/printable.js';
import type { FamilyFacts, Obstacle } from './obstacle.js';

export async function checkRouterAdvertisements(
  { family, underlay }: FamilyFacts,
  root = '/proc/sys',
  signal?: AbortSignal,
): Promise<Obstacle[]> {
  if (family !== 'ipv6') return [];
  const directory = `${root}/net/ipv6/conf/${underlay}`;
  const value = async (name: string) =>
    (await readFile(`${directory}/${name}`, 'utf8').catch(() => '')).trim();
  // With accept_ra 0 a program such as systemd-networkd processes the advertisements itself.
  if ((await value('accept_ra')) !== '1' || (await value('forwarding')) === '0') return [];
  const routes = await ipJson<Route>('-6 route show default', signal).catch(() => []);
  if (!routes.some(({ dev, protocol }) => dev === underlay && protocol === 'ra')) return [];
  const sysctl = `net.ipv6.conf.${underlay.replaceAll('.', '/')}.accept_ra`;
  const fix = `sysctl -w ${shellWord(`${sysctl}=2`)}`;
  return [
    {
      key: `router advertisements ${underlay}`,
      message: `${sysctl} is 1 and forwarding is on: the kernel ignores router advertisements, and the IPv6 default route through ${underlay} expires; run ${fix}, and set it in /etc/sysctl.d`,
      fix,
    },
  ];
}
