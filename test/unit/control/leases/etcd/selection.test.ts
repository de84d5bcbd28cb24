import t from 'tap';
import { formatCidr } from '../../../../../src/control/addresses/cidr.js';
import { firstFree } from '../../../../../src/control/leases/etcd/allocate.js';
import type { SubnetEntry } from '../../../../../src/control/leases/etcd/entry.js';
import { Long } from '../../../../../src/control/leases/etcd/library.js';
import { type SubnetRequest, select } from '../../../../../src/control/leases/etcd/selection.js';
import {
  formatSubnetKey,
  parseSubnetKey,
  type SubnetKey,
} from '../../../../../src/control/leases/etcd/subnet-key.js';
import { cidr, ip } from '../../../../support/addresses.js';
import { mentions, refusal } from '../../../../support/user-error.js';

const IPV4: SubnetRequest = {
  origin: '/net/config',
  publicIp: ip('192.168.77.1'),
  ranges: { ipv4: { length: 24, min: ip('10.5.1.0'), max: ip('10.5.255.0') } },
  previous: {},
};
const DUAL: SubnetRequest = {
  ...IPV4,
  ranges: { ...IPV4.ranges, ipv6: { length: 64, min: ip('fd00:0:0:1::'), max: ip('fd00:0:0:3::') } },
};

function entry(name: string, publicIp: string): SubnetEntry {
  return {
    name,
    key: parseSubnetKey(name) as SubnetKey,
    publicIps: { ipv4: ip(publicIp) },
    backendType: 'vxlan',
    vtepMacs: {},
    problems: {},
    lease: Long.ZERO,
    revision: Long.ONE,
  };
}

/** Formats the selection as `kind key`. */
function selected(entries: SubnetEntry[], request: SubnetRequest, random = 0): string {
  const selection = select(entries, request, () => random);
  if (selection.kind !== 'free') return `${selection.kind} ${selection.entry.name}`;
  return `${selection.previous ? 'previous' : 'free'} ${formatSubnetKey(selection.key)}`;
}

t.test('select picks one of the first hundred free subnets at random', (t) => {
  t.equal(selected([], IPV4), 'free 10.5.1.0-24');
  t.equal(selected([], IPV4, 0.9999), 'free 10.5.100.0-24');
  const some = [entry('10.5.1.0-24', '1.1.1.1'), entry('10.5.3.0-24', '1.1.1.2')];
  t.equal(selected(some, IPV4), 'free 10.5.2.0-24');
  t.equal(selected(some, IPV4, 0.01), 'free 10.5.4.0-24');
  t.equal(selected(some, IPV4, 0.9999), 'free 10.5.102.0-24');
  t.end();
});

t.test('firstFree omits subnets that overlap a lease of any length', (t) => {
  const range = { length: 28, min: ip('10.5.1.0'), max: ip('10.5.1.48') };
  const free = (...taken: string[]): string[] => firstFree(range, taken.map(cidr)).map(formatCidr);
  const all = ['10.5.1.0/28', '10.5.1.16/28', '10.5.1.32/28', '10.5.1.48/28'];
  t.same(free(), all);
  t.same(free('10.5.1.3/32'), all.slice(1));
  t.same(free('10.5.1.40/31', '10.5.1.0/27'), all.slice(3));
  t.same(free('10.5.1.0/26', '10.5.1.1/32'), []);
  t.same(free('10.5.1.64/27', '10.5.0.0/24'), all);
  t.end();
});

t.test("select prefers the node's own key to the subnet of its earlier run", (t) => {
  const own = entry('10.5.7.0-24', '192.168.77.1');
  t.equal(selected([own], { ...IPV4, previous: { ipv4: cidr('10.5.9.0/24') } }), 'own 10.5.7.0-24');
  t.end();
});

t.test('select prefers, of several own keys, that of the earlier run, and then the newest', (t) => {
  const older = entry('10.5.7.0-24', '192.168.77.1');
  const newer = { ...entry('10.5.6.0-24', '192.168.77.1'), revision: Long.fromNumber(9) };
  for (const entries of [
    [older, newer],
    [newer, older],
  ]) {
    t.equal(selected(entries, IPV4), 'own 10.5.6.0-24');
    t.equal(selected(entries, { ...IPV4, previous: { ipv4: cidr('10.5.7.0/24') } }), 'own 10.5.7.0-24');
  }
  t.end();
});

t.test('select returns a stale own key unless another own key fits the configuration', (t) => {
  for (const name of ['10.6.7.0-24', '10.5.7.0-25', '10.5.0.0-24', '10.5.7.0-24&fd00::-64']) {
    t.equal(selected([entry(name, '192.168.77.1')], IPV4), `stale ${name}`);
  }
  const both = [entry('10.6.7.0-24', '192.168.77.1'), entry('10.5.7.0-24', '192.168.77.1')];
  t.equal(selected(both, IPV4), 'own 10.5.7.0-24');
  t.equal(selected([entry('10.5.7.0-24', '192.168.77.1')], DUAL), 'stale 10.5.7.0-24');
  t.end();
});

t.test('select reuses the subnet of an earlier run if it fits and is free', (t) => {
  const request = { ...IPV4, previous: { ipv4: cidr('10.5.9.0/24') } };
  t.equal(selected([], request), 'previous 10.5.9.0-24');
  t.equal(selected([entry('10.5.9.0-24', '1.1.1.1')], request), 'free 10.5.1.0-24');
  t.equal(selected([entry('10.5.8.0-23', '1.1.1.1')], request), 'free 10.5.1.0-24');
  t.equal(selected([], { ...IPV4, previous: { ipv4: cidr('10.9.9.0/24') } }), 'free 10.5.1.0-24');
  t.equal(selected([], { ...IPV4, previous: { ipv4: cidr('10.5.9.0/25') } }), 'free 10.5.1.0-24');
  t.end();
});

t.test('select chooses the subnet of each family on its own', (t) => {
  t.equal(selected([], DUAL), 'free 10.5.1.0-24&fd00:0:0:1::-64');
  const other = entry('10.5.1.0-24&fd00:0:0:1::-64', '1.1.1.1');
  t.equal(selected([other], DUAL, 0.9999), 'free 10.5.101.0-24&fd00:0:0:3::-64');
  const previous = { ipv4: cidr('10.5.9.0/24'), ipv6: cidr('fd00:0:0:2::/64') };
  t.equal(selected([other], { ...DUAL, previous }), 'previous 10.5.9.0-24&fd00:0:0:2::-64');
  t.equal(
    selected([other], { ...DUAL, previous: { ipv4: previous.ipv4 } }),
    'free 10.5.2.0-24&fd00:0:0:2::-64',
  );
  const own = entry('10.5.7.0-24&fd00:0:0:3::-64', '192.168.77.1');
  t.equal(selected([own], DUAL), 'own 10.5.7.0-24&fd00:0:0:3::-64');
  t.end();
});

t.test('select reports which range has no free subnet, and the remedy', async (t) => {
  const range = IPV4.ranges.ipv4;
  const one = { ...IPV4, ranges: { ipv4: { ...range, max: range.min } } };
  const message = await refusal(t, () => selected([entry('10.5.1.0-24', '1.1.1.1')], one));
  mentions(t, message, /^out of subnets: /, '10.5.1.0 to 10.5.1.0, /24', '/net/config', 'larger Network');
  const full = [1, 2, 3].map((n) => entry(`10.5.${n}.0-24&fd00:0:0:${n}::-64`, `1.1.1.${n}`));
  mentions(
    t,
    await refusal(t, () => selected(full, DUAL)),
    /^out of subnets: /,
    'fd00:0:0:1::',
    'IPv6Network',
  );
});
