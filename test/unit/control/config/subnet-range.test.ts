import { join } from 'node:path';
import t, { type Test } from 'tap';
import { JsonFile } from '../../../../src/control/config/json-file.js';
import { checkSubnetRange } from '../../../../src/control/config/subnet-range.js';
import { networkOf, parseCidr } from '../../../../src/control/ipv4.js';
import { mentions, refusal } from '../../../support/user-error.js';

type Range = { SubnetLen?: unknown; SubnetMin?: unknown; SubnetMax?: unknown };

async function check(t: Test, network: string, range: Range): Promise<void> {
  const path = join(t.testdir({ 'f.json': JSON.stringify(range) }), 'f.json');
  const { root } = await JsonFile.read('--file', path);
  const { address, prefix } = parseCidr(network) as { address: number; prefix: number };
  checkSubnetRange(root, { base: networkOf(address, prefix), prefix });
}

t.test("flannel's own example and everything else that fits", async (t) => {
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

t.test("what does not fit is refused in flannel's words", async (t) => {
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

t.test('what is no number or address is refused', async (t) => {
  for (const [range, says] of [
    [{ SubnetLen: -1 }, 'must be a whole number from 0 to 32'],
    [{ SubnetLen: 33 }, 'must be a whole number from 0 to 32'],
    [{ SubnetLen: '24' }, 'must be a whole number'],
    [{ SubnetMin: 'first' }, 'SubnetMin is "first": no IPv4 address'],
    [{ SubnetMax: '10.3.0.0/24' }, 'SubnetMax is "10.3.0.0/24": no IPv4 address'],
    [{ SubnetMin: 'fc00::' }, 'SubnetMin is "fc00::": this is IPv6; write an IPv4 address'],
    [{ SubnetMax: 5 }, 'SubnetMax is 5: must be a string'],
  ] as [Range, string][]) {
    mentions(t, await refusal(t, () => check(t, '10.3.0.0/16', range)), says);
  }
});
