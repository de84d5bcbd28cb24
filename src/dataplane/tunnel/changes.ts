/** Applies control's table changes to the FDB or the routes. */

import type { AddressTable } from './address-table.js';
import type { Ipv6Addresses } from './ipv6-addresses.js';
import type { TableChanges } from './requests.js';

export function applyChanges(
  table: Pick<AddressTable, 'set' | 'delete'>,
  { remove, set }: TableChanges,
): void {
  for (let i = 0; i < remove.length; i += 2) table.delete(remove[i], remove[i + 1]);
  for (let i = 0; i < set.length; i += 3) table.set(set[i], set[i + 1], set[i + 2]);
}

/** Applies changes over IPv6: an address has a number in `addresses` as long as some entry has that address. */
export function applyIpv6Changes(
  table: AddressTable,
  addresses: Ipv6Addresses,
  { remove, set }: TableChanges,
): void {
  for (let i = 0; i < remove.length; i += 2) {
    const address = table.lookup(remove[i], remove[i + 1]);
    table.delete(remove[i], remove[i + 1]);
    release(table, addresses, address);
  }
  for (let i = 0; i < set.length; i += 6) {
    const before = table.lookup(set[i], set[i + 1]);
    const address = addresses.add([set[i + 2], set[i + 3], set[i + 4], set[i + 5]]);
    table.set(set[i], set[i + 1], address);
    release(table, addresses, before);
  }
}

function release(table: AddressTable, addresses: Ipv6Addresses, address: number): void {
  if (address !== 0 && !table.hasAddress(address)) addresses.delete(address);
}
