/**
 * A strict rp_filter: the kernel drops a packet if its route to the source leads to another device
 * (net/ipv4/fib_frontend.c, fib_validate_source). The larger one of the values for all devices and for the device counts.
 */

import { readFileSync } from 'node:fs';
import { ipLookups } from '../kernel/ip.js';
import { shellWord } from '../support/printable.js';
import type { FamilyView } from './facts.js';
import { type Finding, problem } from './finding.js';

/** The routes to so many peers are looked up. */
const SAMPLE = 256;
const STRICT = 1;

/** `running`: whether Weft runs, so that the routes to the peers' pods exist. */
export async function checkRpFilter(
  { family, device, underlay, peers, directRouting }: FamilyView,
  running: boolean,
  root = '/proc/sys',
): Promise<Finding[]> {
  if (family !== 'ipv4') return [];
  const sample = peers.slice(0, SAMPLE);
  const packets = sample.map(({ publicIp }) => publicIp);
  const pods = running && !directRouting ? sample.map(({ overlayAddress }) => overlayAddress) : [];
  return [
    ...(await checkDevice(
      underlay,
      packets,
      'Packets of that peer are dropped before they reach Weft.',
      root,
    )),
    ...(await checkDevice(
      device,
      pods,
      "Packets of that node's pods are dropped after they have left Weft.",
      root,
    )),
  ];
}

async function checkDevice(
  device: string,
  sources: readonly string[],
  why: string,
  root: string,
): Promise<Finding[]> {
  const value = Math.max(valueOf('all', root), valueOf(device, root));
  if (value !== STRICT || sources.length === 0) return [];
  const routes = await ipLookups<{ dst?: string; dev?: string }>(
    sources.map((source) => `route get ${source}`),
  ).catch(() => []);
  // A peer of this machine's own is another finding.
  const astray = routes.find(({ dev }) => dev !== undefined && dev !== device && dev !== 'lo');
  if (astray === undefined) return [];
  const what = `rp_filter of ${device} is strict, and the route to ${astray.dst} uses ${astray.dev}`;
  // In the notation of sysctl with dots, a dot of a device name is a slash.
  const sysctl = `net.ipv4.conf.${device.replaceAll('.', '/')}.rp_filter=2`;
  return [problem('rp-filter', 'warning', what, why, `sysctl -w ${shellWord(sysctl)}`)];
}

function valueOf(device: string, root: string): number {
  try {
    return Number(readFileSync(`${root}/net/ipv4/conf/${device}/rp_filter`, 'latin1'));
  } catch {
    return 0;
  }
}
