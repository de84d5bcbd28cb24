/**
 * What control has asked of a tunnel so far: the content of its tables and its own address. A thread that replaces a
 * failed one begins with it. Entries that the failed thread had learned are learned again.
 */

import type { TableChanges, TunnelRequest } from './requests.js';

type TableName = 'fdb' | 'routes';
/** An IPv4 address, or the four words of an IPv6 address. */
type Address = number | readonly number[];

/** Returns one number for a key of a table, which has two: a MAC has 48 bits, a prefix 32 and a length. */
export function keyOf(table: TableName, first: number, second: number): number {
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
  private readonly tables: Record<TableName, Map<number, Address>> = { fdb: new Map(), routes: new Map() };
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
      const address = this.entrySize === 3 ? set[i + 2] : [...set.subarray(i + 2, i + 6)];
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
