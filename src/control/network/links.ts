/** What devices and addresses this machine has, by one `ip -json -details address show`. */

import { type Ipv4, parseIpv4 } from '../ipv4.js';
import { UserError } from '../user-error.js';
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
  /** IPv4 addresses in the kernel's order, loopback's apart. */
  addresses: Ipv4[];
}

interface IpLink {
  ifindex: number;
  ifname: string;
  address?: string;
  mtu: number;
  flags: string[];
  linkinfo?: { info_kind?: string; info_data?: Record<string, unknown> };
  addr_info?: { family: string; local: string; scope: string }[];
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
    addresses: (link.addr_info ?? [])
      .filter(({ family, scope }) => family === 'inet' && scope !== 'host')
      .map(({ local }) => parseIpv4(local) as Ipv4),
  }));
}

/** The interface the underlay goes through: by name or address, or that of the default route. @throws UserError */
export async function chooseInterface(links: readonly Link[], wanted: string | undefined): Promise<Link> {
  const names = links.map(({ name }) => name).join(', ');
  if (wanted === undefined) {
    const [route] = await ipJson<{ dev?: string }>('-4', 'route', 'show', 'default');
    const link = links.find(({ name }) => name === route?.dev);
    if (link === undefined) {
      throw new UserError(
        `no default route tells the interface to use; name one with --iface (there is ${names})`,
      );
    }
    return link;
  }
  const address = parseIpv4(wanted);
  const found = links.find(
    (link) => link.name === wanted || (address !== undefined && link.addresses.includes(address)),
  );
  if (found === undefined)
    throw new UserError(`--iface ${wanted}: no interface has this name or address (there is ${names})`);
  if (found.addresses.length === 0) {
    throw new UserError(
      `--iface ${wanted}: interface ${found.name} has no IPv4 address; give it one or name another (there is ${names})`,
    );
  }
  return found;
}
