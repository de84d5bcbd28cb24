import { join } from 'node:path';
import t, { type Test } from 'tap';
import { netConfOf } from '../../../../src/control/config/net-conf.js';
import { readSubnetRange, type SubnetRange } from '../../../../src/control/config/subnet-range.js';
import { JsonFile } from '../../../../src/control/support/json-file.js';
import { cidr, ip } from '../../../support/addresses.js';
import { mentions, refusal } from '../../../support/user-error.js';

type Range = { SubnetLen?: unknown; SubnetMin?: unknown; SubnetMax?: unknown };

async function check(t: Test, network: string, range: Range): Promise<SubnetRange> {
  const path = join(t.testdir({ 'f.json': JSON.stringify(range) }), 'f.json');
  const { root } = await JsonFile.read('--file', path);
  return readSubnetRange(root, cidr(network));
}

t.test("readSubnetRange accepts flannel's example and every other range that fits", async (t) => {
  for (const [network, range] of [
    ['10.3.0.0/16', {}],
    ['10.3.0.0/16', { SubnetLen: 24, SubnetMin: '10.3.1.0', SubnetMax: '10.3.255.0' }],
    ['10.3.0.0/16', { SubnetMin: '10.3.0.0', SubnetMax: '10.3.0.0' }],
    ['10.3.0.0/16', { SubnetLen: 18 }],
    ['10.3.0.0/16', { SubnetLen: 30, SubnetMin: '10.3.1.4' }],
    ['10.3.0.0/16', { SubnetLen: 0, SubnetMin: '', SubnetMax: null }],
    ['10.3.0.0/24', { SubnetMin: '10.3.0.64' }],
    ['10.3.0.0/22', { SubnetMin: '10.3.1.0' }],
  ] as [string, Range][]) {
    await t.resolves(check(t, network, range), `${network} ${JSON.stringify(range)}`);
  }
});

t.test("readSubnetRange refuses a range that does not fit in flannel's words", async (t) => {
  for (const [network, range, key, says] of [
    ['10.3.0.0/16', { SubnetLen: 31 }, 'SubnetLen', 'SubnetLen must be less than /31'],
    ['10.3.0.0/16', { SubnetLen: 32 }, 'SubnetLen', 'SubnetLen must be less than /31'],
    [
      '10.3.0.0/16',
      { SubnetLen: 17 },
      'SubnetLen',
      'network must be able to accommodate at least four subnets',
    ],
    [
      '10.3.0.0/16',
      { SubnetLen: 16 },
      'SubnetLen',
      'network must be able to accommodate at least four subnets',
    ],
    ['10.3.0.0/16', { SubnetMin: '10.2.255.0' }, 'SubnetMin', 'SubnetMin is not in the range of the Network'],
    ['10.3.0.0/16', { SubnetMax: '10.4.0.0' }, 'SubnetMax', 'SubnetMax is not in the range of the Network'],
    ['10.3.0.0/16', { SubnetMin: '10.3.1.1' }, 'SubnetMin', 'SubnetMin is not on a SubnetLen boundary'],
    ['10.3.0.0/16', { SubnetMax: '10.3.1.128' }, 'SubnetMax', 'SubnetMax is not on a SubnetLen boundary'],
    ['10.3.0.0/16', { SubnetLen: 20, SubnetMin: '10.3.1.0' }, 'SubnetMin', 'not on a SubnetLen boundary'],
    ['10.3.0.0/24', { SubnetMin: '10.3.0.32' }, 'SubnetMin', 'not on a SubnetLen boundary'],
  ] as [string, Range, keyof Range, string][]) {
    const message = await refusal(t, () => check(t, network, range));
    mentions(t, message, '(--file)', `${key} is ${JSON.stringify(range[key])}: `, says);
  }
});

t.test('readSubnetRange refuses a value that is not a number or an address', async (t) => {
  for (const [range, says] of [
    [{ SubnetLen: -1 }, 'must be a whole number from 0 to 32'],
    [{ SubnetLen: 33 }, 'must be a whole number from 0 to 32'],
    [{ SubnetLen: '24' }, 'must be a whole number'],
    [{ SubnetMin: 'first' }, 'SubnetMin is "first": not an IPv4 address'],
    [{ SubnetMax: '10.3.0.0/24' }, 'SubnetMax is "10.3.0.0/24": not an IPv4 address'],
    [{ SubnetMin: 'fc00::' }, 'SubnetMin is "fc00::": this is IPv6; write an IPv4 address'],
    [{ SubnetMax: 5 }, 'SubnetMax is 5: must be a string'],
  ] as [Range, string][]) {
    mentions(t, await refusal(t, () => check(t, '10.3.0.0/16', range)), says);
  }
});

t.test('the default range leaves out the first subnet, and its length follows the network', async (t) => {
  for (const [network, range, length, min, max] of [
    ['10.3.0.0/16', {}, 24, '10.3.1.0', '10.3.255.0'],
    ['10.3.0.0/22', {}, 24, '10.3.1.0', '10.3.3.0'],
    ['10.3.0.0/24', {}, 26, '10.3.0.64', '10.3.0.192'],
    ['10.3.0.0/28', {}, 30, '10.3.0.4', '10.3.0.12'],
    ['10.3.0.0/16', { SubnetLen: 28 }, 28, '10.3.0.16', '10.3.255.240'],
    ['10.3.0.0/16', { SubnetMin: '10.3.5.0', SubnetMax: '10.3.8.0' }, 24, '10.3.5.0', '10.3.8.0'],
  ] as [string, Range, number, string, string][]) {
    t.same(
      await check(t, network, range),
      { length, min: ip(min), max: ip(max) },
      `${network} ${JSON.stringify(range)}`,
    );
  }
});

async function check6(range: object): Promise<SubnetRange> {
  const text = JSON.stringify({ EnableIPv4: false, EnableIPv6: true, ...range });
  return netConfOf(JsonFile.parse('--flag', 'f.json', text)).networks.ipv6?.subnets as SubnetRange;
}

t.test('readSubnetRange applies the same rules to IPv6', async (t) => {
  for (const [range, length, min, max] of [
    [{ IPv6Network: 'fc00::/48' }, 64, 'fc00:0:0:1::', 'fc00:0:0:ffff::'],
    [{ ipv6network: 'fc00::5/62' }, 64, 'fc00:0:0:1::', 'fc00:0:0:3::'],
    [{ IPv6Network: 'fc00::/63' }, 65, 'fc00:0:0:0:8000::', 'fc00:0:0:1:8000::'],
    [
      {
        IPv6Network: 'fc00::/48',
        IPv6SubnetLen: 56,
        IPv6SubnetMin: 'fc00:0:0:200::',
        IPv6SubnetMax: 'fc00:0:0:300::',
      },
      56,
      'fc00:0:0:200::',
      'fc00:0:0:300::',
    ],
  ] as [object, number, string, string][]) {
    const { length: found, min: first, max: last } = await check6(range);
    t.same([found, first, last], [length, ip(min), ip(max)], JSON.stringify(range));
  }
});

t.test("readSubnetRange refuses an IPv6 range that does not fit in flannel's words", async (t) => {
  for (const [range, key, says] of [
    [{}, 'IPv6Network', 'please define a correct IPv6Network parameter in the flannel config'],
    [{ IPv6Network: '10.3.0.0/16' }, 'IPv6Network', 'an IPv4 network belongs in Network'],
    [
      { IPv6Network: 'fc00::/125' },
      'IPv6Network',
      'IPv6Network is too small. Minimum useful network prefix is /124',
    ],
    [{ IPv6Network: 'fc00::/48', IPv6SubnetLen: 127 }, 'IPv6SubnetLen', 'SubnetLen must be less than /127'],
    [{ IPv6Network: 'fc00::/48', IPv6SubnetLen: 49 }, 'IPv6SubnetLen', 'at least four subnets'],
    [
      { IPv6Network: 'fc00::/48', IPv6SubnetMin: 'fb00::' },
      'IPv6SubnetMin',
      'IPv6SubnetMin is not in the range of the IPv6Network',
    ],
    [
      { IPv6Network: 'fc00::/48', IPv6SubnetMax: 'fc00:0:1::' },
      'IPv6SubnetMax',
      'IPv6SubnetMax is not in the range of the IPv6Network',
    ],
    [
      { IPv6Network: 'fc00::/48', IPv6SubnetMin: 'fc00::1' },
      'IPv6SubnetMin',
      'IPv6SubnetMin is not on a SubnetLen boundary',
    ],
    [{ IPv6Network: 'fc00::/48', IPv6SubnetMin: '10.1.2.3' }, 'IPv6SubnetMin', 'not an IPv6 address'],
  ] as [object, string, string][]) {
    mentions(t, await refusal(t, () => check6(range)), '(--flag)', key, says);
  }
});
