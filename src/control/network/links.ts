/** What devices and addresses this machine has, by one `ip -json -details address show`. */

import { formatIpv4, type Ipv4, isNodeAddress, parseIpv4 } from '../ipv4.js';
import { ipJson } from './ip.js';

export interface Link {
  index: number;
  name: string;
  mac: string;
  mtu: number;
  /** What made it (vxlan, tun, veth, bridge ...); undefined for a physical device. */
  kind: string | undefined;
  /** The driver's own attributes: id and port of a vxlan device. */
  data: Record<string, unknown>;
  up: boolean;
  /** IPv4 addresses a tunnel can use, best first; loopback's are none. */
  addresses: Ipv4[];
}

interface IpLink {
  ifindex: number;
  ifname: string;
  address?: string;
  mtu: number;
  flags: string[];
  linkinfo?: { info_kind?: string; info_data?: Record<string, unknown> };
  addr_info?: AddressInfo[];
}

/** A flag that is not set is not printed. */
interface AddressInfo {
  family: string;
  local: string;
  deprecated?: boolean;
  dynamic?: boolean;
  secondary?: boolean;
}

export async function readLinks(): Promise<Link[]> {
  const links = await ipJson<IpLink>('-details', 'address', 'show');
  return links.map((link) => ({
    index: link.ifindex,
    name: link.ifname,
    mac: link.address ?? '',
    mtu: link.mtu,
    kind: link.linkinfo?.info_kind,
    data: link.linkinfo?.info_data ?? {},
    up: link.flags.includes('UP'),
    addresses: usable(link.addr_info ?? []),
  }));
}

/**
 * The usable addresses, best first, as flannel orders them (pkg/ip/iface.go): none that is deprecated; those of the
 * network before link-local ones, permanent before dynamic, primary before secondary.
 */
function usable(infos: readonly AddressInfo[]): Ipv4[] {
  return infos
    .filter(({ family, deprecated }) => family === 'inet' && deprecated !== true)
    .map(({ local, dynamic, secondary }) => ({
      address: parseIpv4(local) as Ipv4,
      rank: [isLinkLocal(parseIpv4(local) as Ipv4), dynamic === true, secondary === true],
    }))
    .filter(({ address }) => isNodeAddress(address))
    .sort((a, b) => compare(a.rank, b.rank))
    .map(({ address }) => address);
}

function compare(a: readonly boolean[], b: readonly boolean[]): number {
  const differs = a.findIndex((value, index) => value !== b[index]);
  return Number(a[differs] ?? false) - Number(b[differs] ?? false);
}

/** 169.254.0.0/16 (RFC 3927). */
function isLinkLocal(address: Ipv4): boolean {
  return address >>> 16 === 0xa9fe;
}

/** What there is to choose from, in flannel's form: `eth0:[192.168.77.1 10.0.0.7], eth1:[]`. */
export function listLinks(links: readonly Link[]): string {
  return links.map(({ name, addresses }) => `${name}:[${addresses.map(formatIpv4).join(' ')}]`).join(', ');
}
