/** flannel's log lines about added and removed peers. */

import { formatCidr } from '../addresses/cidr.js';
import { familyOf, formatIp } from '../addresses/ip.js';
import { difference } from '../backends/difference.js';
import type { Lease } from '../leases/lease.js';
import { info } from '../support/log.js';

/** More changes than this are logged as one line. */
const LOGGED_PEERS = 16;

/** Logs what changes from one set of peers to the next. */
export function logPeerChanges(before: readonly Lease[], after: readonly Lease[]): void {
  const { gone, set } = difference(new Map(before.map(describe)), new Map(after.map(describe)));
  if (gone.length + set.length > LOGGED_PEERS) {
    info(`peers: ${set.length} added or changed, ${gone.length} removed, ${after.length} in all`);
    return;
  }
  for (const subnet of gone) info(`removing ${subnetKind(subnet)}: ${subnet}`);
  for (const [subnet, rest] of set) info(`adding ${subnetKind(subnet)}: ${subnet} ${rest}`);
}

/** Returns ` VtepMAC: …`, or an empty text for a lease without MAC. */
export function macText({ vtepMac }: Lease): string {
  return vtepMac === undefined ? '' : ` VtepMAC: ${vtepMac}`;
}

function describe(lease: Lease): [string, string] {
  const key = familyOf(lease.publicIp) === 'ipv4' ? 'PublicIP' : 'PublicIPv6';
  return [formatCidr(lease.subnet), `${key}: ${formatIp(lease.publicIp)}${macText(lease)}`];
}

function subnetKind(subnet: string): string {
  return subnet.includes(':') ? 'v6 subnet' : 'subnet';
}
