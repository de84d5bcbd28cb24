/** Lookups in the FDB and, over IPv6, of a source address: the cost must not depend on the number of peers. */

import { AddressTable } from '../../src/dataplane/tunnel/address-table.js';
import { Ipv6Addresses } from '../../src/dataplane/tunnel/ipv6-addresses.js';
import { sink, suite } from './suite.js';

const SIZES = [2, 1000, 10_000];

export function run(): void {
  const cases: Record<string, () => void> = {};
  for (const size of SIZES) {
    const fdb = new AddressTable();
    // Random MACs: consecutive ones would be neighbours in the table.
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
  suite('IPv6 source lookup', sourceCases());
}

function sourceCases(): Record<string, () => void> {
  const cases: Record<string, () => void> = {};
  for (const size of SIZES) {
    const addresses = new Ipv6Addresses();
    // Consecutive addresses of one network, as nodes usually have.
    for (let i = 1; i <= size; i++) addresses.add([0xfd000077, 0, 0, i]);
    const memory = new Int32Array(4 * (size + 1));
    for (let number = 1; number <= size; number++) addresses.write(number, memory, 4 * number);
    let next = 0;
    cases[`${size} peers`] = () => {
      next = (next + 1) % size;
      sink[0] += addresses.find(memory, 4 * (next + 1));
    };
  }
  return cases;
}
