import t from 'tap';
import { firstFree, type Span } from '../../../../../src/control/leases/etcd/allocate.js';
import type { SubnetEntry } from '../../../../../src/control/leases/etcd/entry.js';
import { Long } from '../../../../../src/control/leases/etcd/library.js';
import { choose, type Wish } from '../../../../../src/control/leases/etcd/selection.js';
import {
  formatSubnetKey,
  parseSubnetKey,
  type SubnetKey,
} from '../../../../../src/control/leases/etcd/subnet-key.js';
import { cidr, ip } from '../../../../support/addresses.js';
import { mentions, refusal } from '../../../../support/user-error.js';

const WISH: Wish = {
  origin: '/net/config',
  publicIp: ip('192.168.77.1'),
  subnets: { length: 24, min: ip('10.5.1.0'), max: ip('10.5.255.0') },
  previous: undefined,
  subnets6: undefined,
  previous6: undefined,
};
const DUAL: Wish = {
  ...WISH,
  subnets6: {
    length: 64,
    min: (0xfd00n << 112n) + (1n << 64n),
    max: (0xfd00n << 112n) + (3n << 64n),
  },
};

function entry(name: string, publicIp: string): SubnetEntry {
  return {
    name,
    key: parseSubnetKey(name) as SubnetKey,
    publicIp: ip(publicIp),
    publicIpv6: undefined,
    backendType: 'vxlan',
    vtepMac: undefined,
    vtepMac6: undefined,
    lease: Long.ZERO,
    revision: Long.ONE,
  };
}

/** `kind key` of the choice. */
function chosen(entries: SubnetEntry[], wish: Wish, random = 0): string {
  const choice = choose(entries, wish, () => random);
  if (choice.kind !== 'free') return `${choice.kind} ${choice.entry.name}`;
  return `${choice.previous ? 'previous' : 'free'} ${formatSubnetKey(choice.key)}`;
}

t.test('one of the first hundred free subnets is picked at random', (t) => {
  t.equal(chosen([], WISH), 'free 10.5.1.0-24');
  t.equal(chosen([], WISH, 0.9999), 'free 10.5.100.0-24');
  const some = [entry('10.5.1.0-24', '1.1.1.1'), entry('10.5.3.0-24', '1.1.1.2')];
  t.equal(chosen(some, WISH), 'free 10.5.2.0-24');
  t.equal(chosen(some, WISH, 0.01), 'free 10.5.4.0-24');
  t.equal(chosen(some, WISH, 0.9999), 'free 10.5.102.0-24');
  t.end();
});

t.test('what overlaps a lease of any length is not free', (t) => {
  const free = (taken: Span[]): bigint[] => firstFree({ min: 0n, max: 48n, size: 16n }, taken);
  t.same(free([]), [0n, 16n, 32n, 48n]);
  t.same(free([{ first: 3n, last: 3n }]), [16n, 32n, 48n]);
  t.same(
    free([
      { first: 40n, last: 41n },
      { first: 0n, last: 31n },
    ]),
    [48n],
  );
  t.same(
    free([
      { first: 0n, last: 63n },
      { first: 1n, last: 2n },
    ]),
    [],
  );
  t.same(free([{ first: 64n, last: 99n }]), [0n, 16n, 32n, 48n]);
  t.end();
});

t.test("the node's own key comes before its earlier subnet", (t) => {
  const own = entry('10.5.7.0-24', '192.168.77.1');
  t.equal(chosen([own], { ...WISH, previous: cidr('10.5.9.0/24') }), 'own 10.5.7.0-24');
  t.end();
});

t.test('a key that does not fit the configuration has to go, unless another fits', (t) => {
  for (const name of ['10.6.7.0-24', '10.5.7.0-25', '10.5.0.0-24', '10.5.7.0-24&fd00::-64']) {
    t.equal(chosen([entry(name, '192.168.77.1')], WISH), `misfit ${name}`);
  }
  const both = [entry('10.6.7.0-24', '192.168.77.1'), entry('10.5.7.0-24', '192.168.77.1')];
  t.equal(chosen(both, WISH), 'own 10.5.7.0-24');
  t.equal(chosen([entry('10.5.7.0-24', '192.168.77.1')], DUAL), 'misfit 10.5.7.0-24');
  t.end();
});

t.test('the earlier subnet is taken when it fits and nobody has it', (t) => {
  const wish = { ...WISH, previous: cidr('10.5.9.0/24') };
  t.equal(chosen([], wish), 'previous 10.5.9.0-24');
  t.equal(chosen([entry('10.5.9.0-24', '1.1.1.1')], wish), 'free 10.5.1.0-24');
  t.equal(chosen([entry('10.5.8.0-23', '1.1.1.1')], wish), 'free 10.5.1.0-24');
  t.equal(chosen([], { ...WISH, previous: cidr('10.9.9.0/24') }), 'free 10.5.1.0-24');
  t.equal(chosen([], { ...WISH, previous: cidr('10.5.9.0/25') }), 'free 10.5.1.0-24');
  t.end();
});

t.test('with both families each is chosen by itself', (t) => {
  t.equal(chosen([], DUAL), 'free 10.5.1.0-24&fd00:0:0:1::-64');
  const other = entry('10.5.1.0-24&fd00:0:0:1::-64', '1.1.1.1');
  t.equal(chosen([other], DUAL, 0.9999), 'free 10.5.101.0-24&fd00:0:0:3::-64');
  const previous = {
    previous: cidr('10.5.9.0/24'),
    previous6: { base: (0xfd00n << 112n) + (2n << 64n), prefixLength: 64 },
  };
  t.equal(chosen([other], { ...DUAL, ...previous }), 'previous 10.5.9.0-24&fd00:0:0:2::-64');
  t.equal(chosen([other], { ...DUAL, previous: previous.previous }), 'free 10.5.2.0-24&fd00:0:0:2::-64');
  const own = entry('10.5.7.0-24&fd00:0:0:3::-64', '192.168.77.1');
  t.equal(chosen([own], DUAL), 'own 10.5.7.0-24&fd00:0:0:3::-64');
  t.end();
});

t.test('out of subnets says of which, and what to do', async (t) => {
  const one = { ...WISH, subnets: { ...WISH.subnets, max: WISH.subnets.min } };
  const message = await refusal(t, () => chosen([entry('10.5.1.0-24', '1.1.1.1')], one));
  mentions(t, message, /^out of subnets: /, '10.5.1.0 to 10.5.1.0, /24', '/net/config', 'larger Network');
  const full = [1, 2, 3].map((n) => entry(`10.5.${n}.0-24&fd00:0:0:${n}::-64`, `1.1.1.${n}`));
  mentions(t, await refusal(t, () => chosen(full, DUAL)), /^out of subnets: /, 'fd00:0:0:1::', 'IPv6Network');
});
