/** Which interface the tunnel goes through, and which address the peers send to: flannel's rules. */

import { formatIpv4, type Ipv4, parseIpv4 } from '../ipv4.js';
import { info } from '../log.js';
import type { UnderlayOptions } from '../options.js';
import { UserError } from '../user-error.js';
import { chooseInterface, type Link } from './links.js';

export interface Underlay {
  link: Link;
  /** Addresses of the interface, best first. */
  addresses: readonly Ipv4[];
  /** The address the peers are to send to; behind a NAT none of this machine's. */
  publicIp: Ipv4;
}

/** @throws UserError with what there is to choose from */
export async function chooseUnderlay(links: readonly Link[], options: UnderlayOptions): Promise<Underlay> {
  const link = await chooseInterface(links, options.iface[0]);
  const publicIp = options.publicIp === undefined ? link.addresses[0] : parseIpv4(options.publicIp);
  if (publicIp === undefined) throw new UserError(`invalid public IP address: ${options.publicIp}`);
  return {
    link,
    addresses: [publicIp, ...link.addresses.filter((address) => address !== publicIp)],
    publicIp,
  };
}

/** flannel's log lines of the choice. */
export function announceUnderlay({ link, addresses, publicIp }: Underlay): void {
  const [address] = addresses as [Ipv4];
  info(`Using interface with name ${link.name} and address ${formatIpv4(address)}`);
  info(`Defaulting external address to interface address (${formatIpv4(publicIp)})`);
}
