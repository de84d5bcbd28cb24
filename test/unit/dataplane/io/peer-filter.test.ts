import fc from 'fast-check';
import t from 'tap';
import { peerFilter } from '../../../../src/dataplane/io/peer-filter.js';
import type { Ipv6Address } from '../../../../src/sys/sockaddr.js';
import { ipv4 } from '../../../support/bytes.js';
import { runBpf } from '../../../support/classic-bpf.js';

const VXLAN = Uint8Array.of(0, 1, 2, 3, 0, 16, 0, 0, 8, 0, 0, 0, 0, 0, 1, 0);
const NO_SAMPLE = 0x1234_5601;

function passes(
  program: Uint8Array,
  source: number | Ipv6Address,
  { random = NO_SAMPLE, datagram = VXLAN } = {},
): boolean {
  const ipHeader = new Uint8Array(40);
  const view = new DataView(ipHeader.buffer);
  if (typeof source === 'number') view.setInt32(12, source);
  else source.forEach((word, index) => view.setInt32(8 + 4 * index, word));
  return runBpf(program, { datagram, ipHeader, random }) !== 0;
}

t.test('peerFilter passes the leased addresses and no neighbour of them', async (t) => {
  const addresses = [
    '0.0.0.1',
    '10.0.0.1',
    '10.0.0.2',
    '10.0.0.9',
    '127.255.255.255',
    '192.168.77.2',
    '255.255.255.255',
  ];
  const program = peerFilter({ ipv6: false, addresses: addresses.map(ipv4) });
  for (const address of addresses) t.ok(passes(program, ipv4(address)), address);
  for (const address of [
    '0.0.0.0',
    '0.0.0.2',
    '10.0.0.0',
    '10.0.0.3',
    '10.0.0.8',
    '10.0.0.10',
    '128.0.0.0',
    '192.168.77.1',
  ])
    t.notOk(passes(program, ipv4(address)), address);
});

t.test('peerFilter without a lease passes nobody, and without an address check everybody', async (t) => {
  t.notOk(passes(peerFilter({ ipv6: false, addresses: [] }), ipv4('10.0.0.1')));
  t.ok(passes(peerFilter({ ipv6: false }), ipv4('10.0.0.1')));
});

t.test('peerFilter passes one of 256 datagrams of an unknown sender', async (t) => {
  const program = peerFilter({ ipv6: false, addresses: [] });
  t.ok(passes(program, 1, { random: 0xabcdef00 }));
  t.notOk(passes(program, 1, { random: 0xabcdef80 }));
});

t.test('peerFilter checks I flag and VNI where it may', async (t) => {
  const program = peerFilter({ ipv6: false, vni: 1 });
  const changed = (at: number, byte: number) => VXLAN.map((old, index) => (index === at ? byte : old));
  t.ok(passes(program, 1));
  t.ok(passes(program, 1, { datagram: changed(8, 0xff) }), 'other flags');
  t.ok(passes(program, 1, { datagram: changed(15, 0xff) }), 'reserved byte');
  t.notOk(passes(program, 1, { datagram: changed(8, 0xf7) }), 'no I flag');
  t.notOk(passes(program, 1, { datagram: changed(12, 1) }), 'another VNI');
  t.notOk(passes(program, 1, { datagram: VXLAN.subarray(0, 15) }), 'no whole header');
});

t.test(
  'property: peerFilter never drops a leased IPv4 address, and of few leases passes no other',
  async (t) => {
    const some = fc.uniqueArray(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), {
      minLength: 1,
      maxLength: 300,
    });
    fc.assert(
      fc.property(some, fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (addresses, other) => {
        const program = peerFilter({ ipv6: false, addresses });
        if (!addresses.every((address) => passes(program, address))) return false;
        return addresses.length > 256 || passes(program, other) === addresses.includes(other);
      }),
      { numRuns: 50 },
    );
    t.pass();
  },
);

t.test('property: peerFilter never drops a leased IPv6 address', async (t) => {
  const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  const address = fc.tuple(word, word, word, word);
  fc.assert(
    fc.property(fc.array(address, { minLength: 1, maxLength: 300 }), address, (addresses, other) => {
      const program = peerFilter({ ipv6: true, addresses });
      if (!addresses.every((one) => passes(program, one))) return false;
      const isLeased = addresses.some((one) => one.join() === other.join());
      // Two addresses have one key by a chance of 2^-32.
      return addresses.length > 256 || passes(program, other) === isLeased;
    }),
    { numRuns: 50 },
  );
  t.pass();
});

t.test(
  'peerFilter of 10 000 leases fits into half of an old kernel’s limit and passes every one',
  async (t) => {
    let seed = 1;
    const random = () => {
      seed = (Math.imul(seed, 1103515245) + 12345) | 0;
      return seed;
    };
    for (const [what, addresses] of [
      ['one block', Array.from({ length: 10_000 }, (_, index) => ipv4('10.128.0.0') + index)],
      ['random addresses', Array.from({ length: 10_000 }, random)],
    ] as const) {
      const program = peerFilter({ ipv6: false, addresses });
      t.ok(program.length < 10_000, `${what}: ${program.length} bytes`);
      t.ok(
        addresses.every((address) => passes(program, address)),
        what,
      );
    }
    const block = peerFilter({ ipv6: false, addresses: [1, 2, 3, 4] });
    t.notOk(passes(block, 5), 'a block is one range');
  },
);
