/** Labs with addresses of both families, their leases, and the kernel's IPv6 state. */

import type { Test } from 'tap';
import { bridgeBatch, ipBatch, ipJson, sysctl } from '../../../lab/ip.js';
import type { Lab, LabOptions } from '../../../lab/lab.js';
import { type NetConf, netConf, type VxlanLease } from '../../../lab/leases.js';
import type { LabNode, Pod } from '../../../lab/node.js';
import { ping } from '../../../lab/traffic/ping.js';
import { until } from '../../../lab/until.js';
import { makeBed } from './bed.js';

export const DEVICE6 = 'flannel-v6.1';
export const NETWORK6 = 'fd00:244::/32';

/** The MTU of device and pods on an underlay of 1500. */
export const MTU6 = 1500 - 70;

export function underlay6({ index }: LabNode): string {
  return `fd00:77::${index}`;
}

/** Returns the base of the IPv6 pod subnet. */
export function base6({ index }: LabNode): string {
  return `fd00:244:${index}::`;
}

export function vtepMac6({ index }: LabNode): string {
  return `02:00:00:00:06:0${index}`;
}

/** Returns a pod with its IPv6 address. */
export function pod6(pod: Pod): Pod {
  const [, , index, last] = pod.address.split('.');
  return { ...pod, address: `fd00:244:${index}::${last}` };
}

/** Returns a lease with both families. */
export function dualLease(node: LabNode): VxlanLease {
  return {
    ...node.lease(),
    IPv6Subnet: `${base6(node)}/64`,
    PublicIPv6: underlay6(node),
    BackendV6Data: { VNI: 1, VtepMAC: vtepMac6(node) },
  };
}

/** Returns the net-conf.json of a cluster with both families, with changes. */
export function dualConf(
  changes: Partial<NetConf> & { readonly EnableNFTables?: boolean } = {},
  backend: Partial<NetConf['Backend']> = {},
): NetConf {
  return { ...netConf(backend), EnableIPv6: true, IPv6Network: NETWORK6, ...changes };
}

export async function makeDualBed(t: Test, options: LabOptions & { readonly name: string }): Promise<Lab> {
  const lab = await makeBed(t, { overhead: 70, ...options, ipv6: true });
  for (const node of lab.nodes) {
    await sysctl(node.netns, { 'net/ipv6/conf/all/forwarding': 1 });
    await ipBatch(node.netns, [
      `address add ${underlay6(node)}/64 dev ${node.iface} nodad`,
      `address add ${base6(node)}1/64 dev cni0 nodad`,
    ]);
    for (const pod of node.pods) {
      await ipBatch(pod.netns, [
        `address add ${pod6(pod).address}/64 dev eth0 nodad`,
        `route add default via ${base6(node)}1`,
      ]);
      // Until the bridge knows its multicast listeners, neighbour discovery may need a second solicitation.
      await until(`${pod.name} knows its gateway`, async () => {
        const { received } = await ping(pod.netns, `${base6(node)}1`, { count: 1, wait: 0.5 });
        return received === 1;
      });
    }
  }
  return lab;
}

/**
 * Waits for the end of duplicate address detection on a node (RFC 4862, 5.4), after which nothing changes by itself.
 */
export async function settled6(node: LabNode): Promise<void> {
  const { netns } = node;
  await until(`no address of ${node.name} is tentative`, async () => {
    const tentative = await ipJson<{ addr_info?: unknown[] }[]>(netns, '-6', 'address', 'show', 'tentative');
    return tentative.every(({ addr_info = [] }) => addr_info.length === 0);
  });
}

/** Sets up the kernel's vxlan over IPv6 on a node, as flanneld does. */
export async function startKernel6(node: LabNode, peers: readonly LabNode[]): Promise<void> {
  await ipBatch(node.netns, [
    `link add ${DEVICE6} address ${vtepMac6(node)} mtu ${MTU6} type vxlan id 1 dev ${node.iface} ` +
      `local ${underlay6(node)} dstport 8472 nolearning`,
    `address add ${base6(node)}/128 dev ${DEVICE6} nodad`,
    `link set ${DEVICE6} up`,
    ...peers.map((peer) => `neigh add ${base6(peer)} lladdr ${vtepMac6(peer)} dev ${DEVICE6} nud permanent`),
  ]);
  await bridgeBatch(
    node.netns,
    peers.map((peer) => `fdb add ${vtepMac6(peer)} dev ${DEVICE6} dst ${underlay6(peer)} self permanent`),
  );
  await ipBatch(
    node.netns,
    peers.map((peer) => `route add ${base6(peer)}/64 via ${base6(peer)} dev ${DEVICE6} onlink`),
  );
}

/** Returns a node's IPv6 state: address, neighbours, routes on the device, and other routes of the pod network. */
export async function state6(node: LabNode): Promise<string[]> {
  const { stdout } = await node.exec([
    'sh',
    '-c',
    `ip -6 -o address show dev ${DEVICE6} scope global; ip -6 neigh show dev ${DEVICE6} nud permanent; ip -6 route show root ${NETWORK6} proto boot; ip -o link show dev ${DEVICE6}`,
  ]);
  return stdout
    .split('\n')
    .map((line) => line.trim().replace(/ +/g, ' '))
    .map((line) => /inet6 \S+|mtu \d+|^\S+ lladdr .*|^fd00\S+ .* (?=metric)|^fd00.*/.exec(line)?.[0] ?? '')
    .map((line) => line.replace(/ metric .*/, '').trim())
    .filter((line) => line !== '')
    .sort();
}

/** Returns the desired IPv6 state. */
export function wanted6(node: LabNode, peers: readonly LabNode[]): string[] {
  return [
    `inet6 ${base6(node)}/128`,
    `mtu ${MTU6}`,
    ...peers.map((peer) => `${base6(peer)} lladdr ${vtepMac6(peer)} PERMANENT`),
    ...peers.map((peer) => `${base6(peer)}/64 via ${base6(peer)} dev ${DEVICE6}`),
  ].sort();
}

/** Returns `accept_ra` and `disable_ipv6` of the device. */
export async function settings6(node: LabNode): Promise<string[]> {
  const directory = `/proc/sys/net/ipv6/conf/${DEVICE6}`;
  const { stdout } = await node.exec(['cat', `${directory}/accept_ra`, `${directory}/disable_ipv6`]);
  return stdout.trim().split('\n');
}
