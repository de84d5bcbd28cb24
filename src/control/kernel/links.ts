/** What devices and addresses this machine has, by one `ip -json -details address show`. */

import { setTimeout as delay } from 'node:timers/promises';
import { type Family, formatIp, type Ip, isPublic, parseIp } from '../addresses/address.js';
import type { Ipv4 } from '../addresses/ipv4.js';
import { type Ipv6, isLinkLocal6 } from '../addresses/ipv6.js';
import { UserError } from '../support/user-error.js';
import { ipJson } from './ip.js';

/** Duplicate address detection takes a second by default, after a pause of up to a second (RFC 4862, 5.4.2). */
const DAD_TIMEOUT_MS = 5000;
const DAD_LOOK_MS = 50;

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
  /** The same of IPv6, link-local ones last. */
  addresses6: Ipv6[];
  /** Those of them that cannot be bound yet: whether another has them is still being found out. */
  tentative: Ipv6[];
  /** Every address there is, usable or not. */
  assigned: { address: Ip; prefix: number }[];
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
  family: 'inet' | 'inet6';
  local: string;
  prefixlen: number;
  deprecated?: boolean;
  dynamic?: boolean;
  /** Of IPv6 `secondary` is called `temporary` (IFA_F_SECONDARY and IFA_F_TEMPORARY are one flag). */
  secondary?: boolean;
  temporary?: boolean;
  tentative?: boolean;
  dadfailed?: boolean;
}

export async function readLinks(): Promise<Link[]> {
  const links = await ipJson<IpLink>('-details', 'address', 'show');
  return links.map(({ addr_info: infos = [], ...link }) => ({
    index: link.ifindex,
    name: link.ifname,
    mac: link.address ?? '',
    mtu: link.mtu,
    kind: link.linkinfo?.info_kind,
    data: link.linkinfo?.info_data ?? {},
    up: link.flags.includes('UP'),
    addresses: usable(infos, 'inet') as Ipv4[],
    addresses6: usable(infos, 'inet6') as Ipv6[],
    tentative: usable(
      infos.filter(({ tentative }) => tentative === true),
      'inet6',
    ) as Ipv6[],
    assigned: infos.map(({ local, prefixlen }) => ({ address: parseIp(local) as Ip, prefix: prefixlen })),
  }));
}

/**
 * The usable addresses, best first, as flannel orders them (pkg/ip/iface.go): none that is deprecated; those of the
 * network before link-local ones, permanent before dynamic, primary before secondary.
 */
function usable(infos: readonly AddressInfo[], family: AddressInfo['family']): Ip[] {
  return infos
    .filter((info) => info.family === family && !info.deprecated && !info.dadfailed)
    .map((info) => ({ info, address: parseIp(info.local) as Ip }))
    .filter(({ address }) => isPublic(address) || isLinkLocal(address))
    .map(({ info, address }) => ({ address, rank: rankOf(info, isLinkLocal(address)) }))
    .sort((a, b) => compare(a.rank, b.rank))
    .map(({ address }) => address);
}

function rankOf({ dynamic, secondary, temporary }: AddressInfo, linkLocal: boolean): boolean[] {
  return [linkLocal, dynamic === true, secondary === true || temporary === true];
}

function compare(a: readonly boolean[], b: readonly boolean[]): number {
  const differs = a.findIndex((value, index) => value !== b[index]);
  return Number(a[differs] ?? false) - Number(b[differs] ?? false);
}

/** 169.254.0.0/16 (RFC 3927), which flannel takes for want of a better one; fe80::/10. */
function isLinkLocal(address: Ip): boolean {
  return typeof address === 'bigint' ? isLinkLocal6(address) : address >>> 16 === 0xa9fe;
}

/** A link's usable addresses of a family, best first. */
export function addressesOf(link: Link, family: Family): readonly Ip[] {
  return family === 'ipv4' ? link.addresses : link.addresses6;
}

/** Every address of this machine, usable or not. The kernel takes what comes for one of them on whichever interface. */
export function localAddresses(links: readonly Link[]): Ip[] {
  return links.flatMap(({ assigned }) => assigned.map(({ address }) => address));
}

/** Whether this machine has an address, be it one that is deprecated: a socket that is bound to it goes on. */
export async function hasAddress(address: Ip): Promise<boolean> {
  return localAddresses(await readLinks()).includes(address);
}

/** Waits until a fresh IPv6 address can be bound. @throws UserError when another node has it, or it takes too long */
export async function untilBindable(links: readonly Link[], address: Ip): Promise<void> {
  const isTentative = (those: readonly Ip[]): boolean => those.includes(address);
  const fresh = links.find(({ tentative }) => isTentative(tentative));
  if (fresh === undefined) return;
  const { name } = fresh;
  const deadline = performance.now() + DAD_TIMEOUT_MS;
  let now: readonly Ip[] = fresh.tentative;
  while (isTentative(now)) {
    if (performance.now() > deadline) {
      throw new UserError(
        `${formatIp(address)} of ${name} stays tentative: duplicate address detection does not end; is the link up (ip -6 address show dev ${name})?`,
      );
    }
    await delay(DAD_LOOK_MS);
    const link = (await readLinks()).find((candidate) => candidate.name === name);
    if (!link?.addresses6.some((candidate) => candidate === address)) {
      throw new UserError(
        `${formatIp(address)} of ${name} cannot be used: another machine has it too (ip -6 address show dev ${name})`,
      );
    }
    now = link.tentative;
  }
}

/** What there is to choose from, in flannel's form: `eth0:[192.168.77.1 10.0.0.7], eth1:[]`. */
export function listLinks(links: readonly Link[], families: readonly Family[]): string {
  return links
    .map(
      (link) =>
        `${link.name}:[${families
          .flatMap((family) => addressesOf(link, family))
          .map(formatIp)
          .join(' ')}]`,
    )
    .join(', ');
}
