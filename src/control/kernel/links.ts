/** This machine's devices and addresses, by one `ip -json -details address show`. */

import type { Family } from '../addresses/family.js';
import { familyOf, formatIp, type Ip, isLinkLocal, isNodeAddress, parseIp } from '../addresses/ip.js';
import { ipJson } from './ip.js';

export interface Link {
  index: number;
  name: string;
  /** The name that a program or operator gave it beside (IFLA_IFALIAS). */
  alias: string | undefined;
  mac: string;
  mtu: number;
  /** Its driver (vxlan, tun, veth, bridge ...); undefined for a physical device. */
  kind: string | undefined;
  /** The driver's own attributes: id and port of a vxlan device. */
  data: Record<string, unknown>;
  /** Whether its packets have an Ethernet header. */
  ethernet: boolean;
  up: boolean;
  /** Whether the device is up and has a carrier. */
  carrier: boolean;
  /** The device to which it is enslaved: a bridge, a bond or a VRF. */
  master: string | undefined;
  /** Addresses that a tunnel can use, best first: no loopback addresses, link-local ones last. */
  usable: Readonly<Record<Family, readonly Ip[]>>;
  /** IPv6 addresses that cannot be bound, because duplicate address detection runs or has failed. */
  tentative: readonly Ip[];
  /** Every address, usable or not. */
  assigned: readonly { address: Ip; prefixLength: number }[];
}

/** A link as `ip -json -details address show` prints it. */
export interface IpLink {
  ifindex: number;
  ifname: string;
  ifalias?: string;
  address?: string;
  mtu: number;
  link_type?: string;
  flags: string[];
  master?: string;
  linkinfo?: { info_kind?: string; info_data?: Record<string, unknown> };
  addr_info?: AddressInfo[];
}

/** One address of a link; `ip` omits a flag that is not set. */
interface AddressInfo {
  local: string;
  prefixlen: number;
  deprecated?: boolean;
  dynamic?: boolean;
  /** For IPv6 `ip` calls this flag `temporary` (IFA_F_SECONDARY and IFA_F_TEMPORARY are one flag). */
  secondary?: boolean;
  temporary?: boolean;
  tentative?: boolean;
  dadfailed?: boolean;
}

interface ParsedAddress {
  info: AddressInfo;
  address: Ip;
}

export async function readLinks(signal?: AbortSignal): Promise<Link[]> {
  return parseLinks(await ipJson<IpLink>('-details address show', signal));
}

/** Returns the links, without entries that are none: `ip` prints {} for what its filter leaves out. */
export function parseLinks(json: readonly IpLink[]): Link[] {
  return json
    .filter(({ ifname }) => typeof ifname === 'string')
    .map(({ addr_info: infos, ...link }) => {
      const addresses = listOf(infos).flatMap((info) => {
        const address = typeof info?.local === 'string' ? parseIp(info.local) : undefined;
        return address === undefined ? [] : [{ info, address }];
      });
      return {
        index: link.ifindex,
        name: link.ifname,
        alias: link.ifalias,
        mac: link.address ?? '',
        mtu: link.mtu,
        kind: link.linkinfo?.info_kind,
        data: link.linkinfo?.info_data ?? {},
        ethernet: link.link_type === 'ether',
        up: listOf(link.flags).includes('UP'),
        carrier: listOf(link.flags).includes('LOWER_UP'),
        master: link.master,
        usable: { ipv4: usable(addresses, 'ipv4'), ipv6: usable(addresses, 'ipv6') },
        tentative: addresses
          .filter(({ info }) => info.tentative === true || info.dadfailed === true)
          .map(({ address }) => address),
        assigned: addresses.map(({ info, address }) => ({ address, prefixLength: info.prefixlen })),
      };
    });
}

function listOf<T>(value: readonly T[] | undefined): readonly T[] {
  return Array.isArray(value) ? value : [];
}

/**
 * Returns the usable addresses of a family, best first, in flannel's order (pkg/ip/iface.go): global before link-local,
 * permanent before dynamic, primary before secondary. Deprecated addresses are not usable.
 */
function usable(addresses: readonly ParsedAddress[], family: Family): Ip[] {
  return addresses
    .filter(({ info, address }) => familyOf(address) === family && !info.deprecated && !info.dadfailed)
    .filter(({ address }) => isNodeAddress(address) || isLinkLocal(address))
    .sort((a, b) => rankOf(a) - rankOf(b))
    .map(({ address }) => address);
}

function rankOf({ info: { dynamic, secondary, temporary }, address }: ParsedAddress): number {
  return (isLinkLocal(address) ? 4 : 0) + (dynamic ? 2 : 0) + (secondary || temporary ? 1 : 0);
}

/** Returns whether the interface has no network behind it. kube-ipvs0 is one; it has the addresses of all Services. */
export function isDummy({ kind }: Pick<Link, 'kind'>): boolean {
  return kind === 'dummy';
}

/**
 * Returns every address of this machine, except those of dummy interfaces. The kernel receives packets to each of them on
 * any interface.
 */
export function localAddresses(links: readonly Pick<Link, 'kind' | 'assigned'>[]): Ip[] {
  return links.flatMap((link) => (isDummy(link) ? [] : link.assigned.map(({ address }) => address)));
}

/** Lists links and their usable addresses in flannel's form: `eth0:[192.168.77.1 10.0.0.7], eth1:[]`. */
export function listLinks(links: readonly Link[], families: readonly Family[]): string {
  return links
    .map(({ name, usable }) => {
      const addresses = families.flatMap((family) => usable[family]);
      return `${name}:[${addresses.map(formatIp).join(' ')}]`;
    })
    .join(', ');
}
