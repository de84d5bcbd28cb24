/** FDB lookup: the cost must not depend on the number of peers. */

import { AddressTable } from '../../src/dataplane/tunnel/address-table.js';
import { sink, suite } from './suite.js';

const SIZES = [2, 1000, 10_000];

export function run(): void {
  const cases: Record<string, () => void> = {};
  for (const size of SIZES) {
    const fdb = new AddressTable();
    // MACs as a hash gives them, not counted up: neighbours in number would be neighbours in the table.
    const high = Uint16Array.from({ length: size }, () => 0x0200 | Math.floor(Math.random() * 256));
    const low = Int32Array.from({ length: size }, () => Math.floor(Math.random() * 2 ** 32));
    for (let i = 0; i < size; i++) fdb.set(high[i], low[i], i + 1);
    let next = 0;
    cases[`hit, ${size} entries`] = () => {
      next = (next + 1) % size;
      sink[0] += fdb.lookup(high[next], low[next]);
    };
    cases[`miss, ${size} entries`] = () => {
      next = (next + 1) % size;
      sink[0] += fdb.lookup(high[next] | 0x0400, low[next]);
    };
  }
  suite('FDB lookup', cases);
}
