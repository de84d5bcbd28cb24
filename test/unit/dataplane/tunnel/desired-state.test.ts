import fc from 'fast-check';
import t from 'tap';
import { DesiredState } from '../../../../src/dataplane/tunnel/desired-state.js';
import type { TunnelRequest } from '../../../../src/dataplane/tunnel/requests.js';

const MAC: fc.Arbitrary<[number, number]> = fc.tuple(
  fc.constantFrom(0, 0x0200, 0xffff),
  fc.constantFrom(0, 1, -1, 0x7fffffff, -0x80000000),
);
const PREFIX: fc.Arbitrary<[number, number]> = fc.tuple(
  fc.constantFrom(0, 0x0af40100, -0x80000000, -1),
  fc.constantFrom(0, 1, 24, 32),
);

/** Applies changes to plain objects, the slow way. */
function contentAfter(requests: readonly TunnelRequest[], size: number): Record<string, number[]> {
  const content: Record<string, number[]> = {};
  for (const request of requests) {
    if (request.type !== 'fdb' && request.type !== 'routes') continue;
    const { remove, set } = request;
    for (let i = 0; i < remove.length; i += 2) delete content[`${remove[i]} ${remove[i + 1]}`];
    for (let i = 0; i < set.length; i += size)
      content[`${set[i]} ${set[i + 1]}`] = [...set.slice(i + 2, i + size)];
  }
  return content;
}

for (const [type, ipv6, key] of [
  ['fdb', false, MAC],
  ['fdb', true, MAC],
  ['routes', false, PREFIX],
] as const) {
  const words = ipv6 ? 4 : 1;
  t.test(
    `DesiredState rebuilds the ${type} with ${ipv6 ? 'IPv6' : 'IPv4'} addresses in one request`,
    async (t) => {
      const address = fc.array(fc.integer({ min: -0x80000000, max: 0x7fffffff }), {
        minLength: words,
        maxLength: words,
      });
      const change = fc.record({ remove: fc.array(key), set: fc.array(fc.tuple(key, address)) });
      fc.assert(
        fc.property(fc.array(change), (changes) => {
          const requests = changes.map(({ remove, set }) => ({
            type,
            remove: Int32Array.from(remove.flat()),
            set: Int32Array.from(set.flat(2)),
          }));
          const state = new DesiredState(ipv6);
          for (const request of requests) state.note(request);
          const rebuilt = state.requests();
          t.ok(rebuilt.length <= 1);
          t.same(contentAfter(rebuilt, 2 + words), contentAfter(requests, 2 + words));
        }),
        { numRuns: 50 },
      );
    },
  );
}

t.test('DesiredState keeps the last own MAC or address, first, and no question', async (t) => {
  const state = new DesiredState(false);
  t.same(state.requests(), []);
  const set = Int32Array.of(0x0200, 11, 0x7f000002);
  state.note({ type: 'own-mac', high: 0x0200, low: 1 });
  state.note({ type: 'fdb', remove: new Int32Array(0), set });
  state.note({ type: 'own-mac', high: 0x0200, low: 2 });
  state.note({ type: 'peers' });
  t.same(state.requests(), [
    { type: 'own-mac', high: 0x0200, low: 2 },
    { type: 'fdb', remove: new Int32Array(0), set },
  ]);
});

t.test('DesiredState.addressesLostBy returns the addresses that a request removes or replaces', async (t) => {
  const state = new DesiredState(false);
  state.note({ type: 'fdb', remove: new Int32Array(0), set: Int32Array.of(0x0200, 1, 11, 0x0200, 2, 12) });
  const request: TunnelRequest = {
    type: 'fdb',
    remove: Int32Array.of(0x0200, 1),
    set: Int32Array.of(0x0200, 2, 13, 0x0200, 3, 14),
  };
  t.same(state.addressesLostBy(request), [11, 12]);
  state.note(request);
  t.same(state.addresses(), [13, 14]);
  t.same(state.addressesLostBy({ type: 'peers' }), []);
});
