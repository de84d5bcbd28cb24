/** Longest-prefix match against a linear search. */

import fc from 'fast-check';
import t from 'tap';
import { Routes } from '../../src/dataplane/tunnel/routes.js';

interface NaiveRoute {
  base: number;
  prefix: number;
  address: number;
}

/** Uses unsigned arithmetic only, without the table's masks. */
function holds({ base, prefix }: NaiveRoute, address: number): boolean {
  const size = 2 ** (32 - prefix);
  return Math.floor((base >>> 0) / size) === Math.floor((address >>> 0) / size);
}

function naiveLookup(routes: readonly NaiveRoute[], address: number): number {
  const found = routes.filter((route) => holds(route, address)).sort((a, b) => b.prefix - a.prefix);
  return found[0]?.address ?? 0;
}

/** Few bits vary, so that prefixes nest and match the addresses. */
const ip = fc.oneof(
  fc.tuple(fc.constantFrom(0x0af40000, 0xc0a80000, 0, 0xffff0000), fc.nat(0x3ff)).map(([a, b]) => a | b | 0),
  fc.integer(),
);
const prefix = fc.oneof(fc.integer({ min: 20, max: 32 }), fc.integer({ min: 0, max: 32 }));
const peer = fc.constantFrom(1, 2, -1, 0x7fffffff, -0x80000000);
const change = fc.record({
  base: ip,
  prefix,
  address: fc.oneof({ weight: 3, arbitrary: peer }, fc.constant(0)),
});

t.test('Routes returns the peer of the longest matching prefix after any changes', async () => {
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 40 }),
      fc.array(ip, { minLength: 1, maxLength: 20 }),
      (changes, asked) => {
        const routes = new Routes();
        let naive: NaiveRoute[] = [];
        for (const { base, prefix, address } of changes) {
          const others = naive.filter((route) => route.prefix !== prefix || !holds(route, base));
          if (address === 0) {
            if (routes.delete(base, prefix) !== others.length < naive.length) return false;
            naive = others;
          } else {
            routes.set(base, prefix, address);
            naive = [...others, { base, prefix, address }];
          }
          for (const one of [...asked, base])
            if (routes.lookup(one) !== naiveLookup(naive, one)) return false;
        }
        return routes.size === naive.length;
      },
    ),
    { numRuns: 300 },
  );
});
