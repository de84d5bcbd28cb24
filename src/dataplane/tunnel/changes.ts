/** Changes to the addresses behind MACs or prefixes, as control sends them: flat arrays, removals first. */

import type { AddressTable } from './address-table.js';
import type { Ipv6Addresses } from './ipv6-addresses.js';

export interface Changes {
  /** Keys of two numbers. */
  readonly remove: Int32Array;
  /** Keys and the addresses behind them: one number each, or the four words of an IPv6 address. */
  readonly set: Int32Array;
}

export function applyChanges(table: Pick<AddressTable, 'set' | 'delete'>, { remove, set }: Changes): void {
  for (let i = 0; i < remove.length; i += 2) table.delete(remove[i], remove[i + 1]);
  for (let i = 0; i < set.length; i += 3) table.set(set[i], set[i + 1], set[i + 2]);
}

/** The same over IPv6: an address has a number in `addresses` for as long as some entry has it. */
export function applyIpv6Changes(
  table: AddressTable,
  addresses: Ipv6Addresses,
  { remove, set }: Changes,
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
