/** Forwarding: the kernel drops what a device receives for another address if forwarding is off there. */

import { readFileSync } from 'node:fs';
import { shellWord } from '../support/printable.js';
import type { FamilyFacts, Obstacle } from './obstacle.js';

/** The bridge of flannel's CNI configuration; it exists once the node has a pod. */
const BRIDGE = 'cni0';

/**
 * Reports forwarding that is off. IPv4 has a switch per receiving device (net/ipv4/route.c, ip_route_input_slow).
 * `ip_forward` changes them all, and new devices get its value. IPv6 has one switch (net/ipv6/ip6_output.c, ip6_forward).
 */
export async function checkForwarding(
  { family, device, underlay }: FamilyFacts,
  root = '/proc/sys',
): Promise<Obstacle[]> {
  if (family === 'ipv6') {
    if (!isOff(`${root}/net/ipv6/conf/all/forwarding`)) return [];
    return [obstacle('net.ipv6.conf.all.forwarding', 'the kernel forwards no IPv6 packet to or from pods')];
  }
  if (isOff(`${root}/net/ipv4/ip_forward`)) {
    return [obstacle('net.ipv4.ip_forward', 'the kernel forwards no packet to or from pods')];
  }
  const found: Obstacle[] = [];
  for (const [name, loss] of [
    [device, 'packets from other nodes do not reach pods'],
    [underlay, 'packets from outside the cluster, and answers to pods from there, do not reach pods'],
    [BRIDGE, 'packets of pods do not leave the node'],
  ] as const) {
    const directory = `net/ipv4/conf/${name}`;
    if (isOff(`${root}/${directory}/forwarding`)) {
      // In the notation of sysctl with dots, a dot of a device name is a slash.
      found.push(obstacle(`net.ipv4.conf.${name.replaceAll('.', '/')}.forwarding`, loss));
    }
  }
  return found;
}

function obstacle(sysctl: string, loss: string): Obstacle {
  const fix = `sysctl -w ${shellWord(`${sysctl}=1`)}`;
  return {
    key: `forwarding ${sysctl}`,
    message: `${sysctl} is 0: ${loss}; run ${fix}, and set it in /etc/sysctl.d`,
    fix,
  };
}

/** A missing file is no obstacle: the device does not exist, or the kernel has no IPv6. */
function isOff(path: string): boolean {
  try {
    // Without the thread pool: this runs every second, and /proc never blocks.
    return readFileSync(path, 'latin1').trim() === '0';
  } catch {
    return false;
  }
}
