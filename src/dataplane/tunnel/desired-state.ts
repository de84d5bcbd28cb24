/**
 * What control has asked of a tunnel so far: the content of its tables and its own address. A thread that replaces a
 * failed one begins with it. Entries that the failed thread had learned are learned again.
 */

import type { UnderlayAddress } from '../../sys/sockaddr.js';
import type { TableChanges, TunnelRequest } from './requests.js';

type TableName = 'fdb' | 'routes';

/** Returns one number for a key of a table, which has two: a MAC has 48 bits, a prefix 32 and a length. */
function keyOf(table: TableName, first: number, second: number): number {
  return table === 'fdb' ? first * 2 ** 32 + (second >>> 0) : second * 2 ** 32 + (first >>> 0);
}

function wordsOf(table: TableName, key: number): [first: number, second: number] {
  const high = Math.floor(key / 2 ** 32);
  const low = key | 0;
  return table === 'fdb' ? [high, low] : [low, high];
}

export class DesiredState {
  /** Numbers of an entry: two of the key, and one or four of the address. */
  private readonly entrySize: number;
  private readonly tables: Record<TableName, Map<number, UnderlayAddress>> = {
    fdb: new Map(),
    routes: new Map(),
  };
  private own: TunnelRequest | undefined;

  /** `ipv6`: whether the peers' addresses are IPv6 addresses. */
  constructor(ipv6: boolean) {
    this.entrySize = ipv6 ? 6 : 3;
  }

  /** Records a request that changes the tunnel; ignores one that only reads. */
  note(request: TunnelRequest): void {
    if (request.type === 'fdb' || request.type === 'routes') this.change(request.type, request);
    else if (request.type === 'own-mac' || request.type === 'own-address') this.own = request;
  }

  /** The number of entries. */
  get size(): number {
    return this.tables.fdb.size + this.tables.routes.size;
  }

  /** Returns the address of each entry. */
  addresses(): UnderlayAddress[] {
    return [...this.tables.fdb.values(), ...this.tables.routes.values()];
  }

  /** Returns the addresses that a request would replace or remove. */
  addressesLostBy(request: TunnelRequest): UnderlayAddress[] {
    if (request.type !== 'fdb' && request.type !== 'routes') return [];
    const { type, remove, set } = request;
    const lost: UnderlayAddress[] = [];
    const look = (first: number, second: number): void => {
      const address = this.tables[type].get(keyOf(type, first, second));
      if (address !== undefined) lost.push(address);
    };
    for (let i = 0; i < remove.length; i += 2) look(remove[i], remove[i + 1]);
    for (let i = 0; i < set.length; i += this.entrySize) look(set[i], set[i + 1]);
    return lost;
  }

  /** Returns the requests that bring a new tunnel to this state. */
  requests(): TunnelRequest[] {
    const requests = this.own === undefined ? [] : [this.own];
    for (const type of ['fdb', 'routes'] as const) {
      if (this.tables[type].size > 0)
        requests.push({ type, remove: new Int32Array(0), set: this.content(type) });
    }
    return requests;
  }

  private change(name: TableName, { remove, set }: TableChanges): void {
    const table = this.tables[name];
    for (let i = 0; i < remove.length; i += 2) table.delete(keyOf(name, remove[i], remove[i + 1]));
    for (let i = 0; i < set.length; i += this.entrySize) {
      const address: UnderlayAddress =
        this.entrySize === 3 ? set[i + 2] : [set[i + 2], set[i + 3], set[i + 4], set[i + 5]];
      table.set(keyOf(name, set[i], set[i + 1]), address);
    }
  }

  private content(name: TableName): Int32Array {
    const table = this.tables[name];
    const content = new Int32Array(table.size * this.entrySize);
    let at = 0;
    for (const [key, address] of table) {
      content.set(wordsOf(name, key), at);
      content.set(typeof address === 'number' ? [address] : address, at + 2);
      at += this.entrySize;
    }
    return content;
  }
}
