import t, { type Test } from 'tap';
import { type Family, valueIn, valuesOf } from '../../../../src/control/addresses/family.js';
import { formatIp, parseIp } from '../../../../src/control/addresses/ip.js';
import type { Link } from '../../../../src/control/kernel/links.js';
import type { UnderlayOptions } from '../../../../src/control/options.js';
import { chooseUnderlay, logUnderlay } from '../../../../src/control/underlay/choose.js';
import { catchLog } from '../../../support/catch-log.js';
import { FakeIp } from '../../../support/fake-ip.js';
import { mentions, refusal } from '../../../support/user-error.js';

const link = (name: string, ...texts: string[]): Link => ({
  index: 2,
  name,
  mac: '',
  mtu: 1500,
  kind: undefined,
  data: {},
  ethernet: true,
  up: true,
  carrier: true,
  alias: undefined,
  master: undefined,
  usable: {
    ipv4: texts.flatMap((text) => parseIp(text, 'ipv4') ?? []),
    ipv6: texts.flatMap((text) => parseIp(text, 'ipv6') ?? []),
  },
  tentative: [],
  assigned: [],
});

const LINKS = [
  link('lo'),
  link('eth0', '192.168.77.1', '10.0.0.7'),
  link('eth1', '172.16.0.1'),
  link('eth2'),
];
const THERE = '(interfaces: lo:[], eth0:[192.168.77.1 10.0.0.7], eth1:[172.16.0.1], eth2:[])';

function options(given: Partial<UnderlayOptions>): UnderlayOptions {
  return {
    iface: [],
    ifaceRegex: [],
    ifaceCanReach: undefined,
    publicIp: {},
    ...given,
  };
}

/** The interface, its address, the public address, and all addresses in the order of the lease search. */
async function choose(given: Partial<UnderlayOptions>): Promise<string> {
  const { link, families } = await chooseUnderlay(LINKS, options(given), ['ipv4']);
  const { address, publicIp, addresses } = valueIn(families, 'ipv4');
  return `${link.name} ${formatIp(address)} ${formatIp(publicIp)} [${addresses.map(formatIp).join(' ')}]`;
}

async function refused(t: Test, given: Partial<UnderlayOptions>): Promise<string> {
  return await refusal(t, () => chooseUnderlay(LINKS, options(given), ['ipv4']));
}

t.test('--iface accepts an interface name or one of its addresses, which is then used', async (t) => {
  t.equal(await choose({ iface: ['eth1'] }), 'eth1 172.16.0.1 172.16.0.1 [172.16.0.1]');
  t.equal(await choose({ iface: ['10.0.0.7'] }), 'eth0 10.0.0.7 10.0.0.7 [10.0.0.7 192.168.77.1]');
});

t.test('the first match decides, in the order --iface, --iface-regex, --iface-can-reach', async (t) => {
  FakeIp.install(t).answer('route get 203.0.113.9', [
    { dst: '203.0.113.9', dev: 'eth0', prefsrc: '10.0.0.7' },
  ]);
  const all = { iface: ['eth9', 'eth1'], ifaceRegex: ['^eth0$'], ifaceCanReach: '203.0.113.9' };
  t.match(await choose(all), /^eth1 172/);
  t.match(await choose({ ...all, iface: ['eth9', 'eth2'] }), /^eth0 192/);
  t.match(await choose({ ...all, iface: ['eth9'], ifaceRegex: ['^wg'] }), /^eth0 10/);
});

t.test('--iface-can-reach with an own address chooses the interface with that address', async (t) => {
  const ip = FakeIp.install(t);
  for (const target of ['10.0.0.7', '127.0.0.1']) {
    ip.answer(`route get ${target}`, [{ type: 'local', dst: target, dev: 'lo', prefsrc: target }]);
  }
  t.match(await choose({ ifaceCanReach: '10.0.0.7' }), /^eth0 10\.0\.0\.7 /);
  mentions(
    t,
    await refused(t, { ifaceCanReach: '127.0.0.1' }),
    '--iface-can-reach 127.0.0.1: failed to get ifcanreach based interface: no interface leads there',
  );
});

t.test('--iface-regex matches all addresses before any name', async (t) => {
  t.match(await choose({ ifaceRegex: ['^172\\.|eth0'] }), /^eth1 172/);
  t.match(await choose({ ifaceRegex: ['^10\\.'] }), /^eth0 10\.0\.0\.7/);
  t.match(await choose({ ifaceRegex: ['th[1]'] }), /^eth1 /);
});

t.test("--iface-regex accepts Go's flags at the head of the pattern", async (t) => {
  t.match(await choose({ ifaceRegex: ['(?i)^ETH1$'] }), /^eth1 /);
  t.match(await choose({ ifaceRegex: ['(?iUi)^ETH1'] }), /^eth1 /);
  mentions(t, await refused(t, { ifaceRegex: ['^ETH1$'] }), 'could not match pattern ^ETH1$');
});

t.test('the first default route counts, and its first next hop', async (t) => {
  const ip = FakeIp.install(t);
  ip.answer('-4 route show default', [
    { dst: 'default', dev: 'eth1' },
    { dst: 'default', dev: 'eth0' },
  ]);
  t.match(await choose({}), /^eth1 /);
  ip.answer('-4 route show default', [
    { type: 'unreachable', dst: 'default', dev: 'lo' },
    { dst: 'default', nexthops: [{ dev: 'eth0' }, { dev: 'eth1' }] },
  ]);
  t.match(await choose({}), /^eth0 192/);
});

t.test(
  '--public-ip alone chooses its interface; with --iface it may be an address outside the node',
  async (t) => {
    t.equal(
      await choose({ publicIp: { ipv4: '10.0.0.7' } }),
      'eth0 10.0.0.7 10.0.0.7 [10.0.0.7 192.168.77.1]',
    );
    t.equal(
      await choose({ publicIp: { ipv4: '203.0.113.5' }, iface: ['10.0.0.7'] }),
      'eth0 10.0.0.7 203.0.113.5 [203.0.113.5 10.0.0.7 192.168.77.1]',
    );
    const message = await refused(t, { publicIp: { ipv4: '203.0.113.5' } });
    mentions(
      t,
      message,
      /^Failed to find any valid interface to use: error looking up interface 203\.0\.113\.5: .*--iface/,
      THERE,
    );
  },
);

t.test('chooseUnderlay refuses a --public-ip that no node can have, also with --iface', async (t) => {
  for (const publicIp of [
    ...['eth0', '10.0.0', ''],
    ...['0.0.0.0', '127.0.0.1', '224.0.0.1', '255.255.255.255'],
  ]) {
    mentions(
      t,
      await refused(t, { publicIp: { ipv4: publicIp }, iface: ['eth0'] }),
      `invalid public IP address: ${publicIp}; --public-ip needs`,
    );
  }
});

t.test('chooseUnderlay without a default route lists the interfaces', async (t) => {
  FakeIp.install(t);
  mentions(
    t,
    await refused(t, {}),
    'Failed to find any valid interface to use: unable to find default route; name the interface with',
    '--iface',
    THERE,
  );
});

t.test('chooseUnderlay without a match names every option with its reason', async (t) => {
  FakeIp.install(t);
  const message = await refused(t, {
    iface: ['eth9', '192.168.77.2', '', 'eth2'],
    ifaceRegex: ['^wg', '['],
    ifaceCanReach: 'eth0',
  });
  mentions(
    t,
    message,
    /^Failed to find interface to use that matches the interfaces and\/or regexes provided: /,
    '--iface eth9: no interface has this name or address; ',
    '--iface 192.168.77.2: no interface has this name or address; ',
    '--iface : no interface has this name or address; ',
    '--iface eth2: failed to find IPv4 address for interface eth2; give it one',
    '--iface-regex ^wg: could not match pattern ^wg to any of the available network interfaces; ',
    "--iface-regex [: could not compile the IP address regex '[': ",
    '--iface-can-reach eth0: not an IPv4 address',
    THERE,
  );
});

t.test('chooseUnderlay refuses an interface without MTU', async (t) => {
  const links = [{ ...link('eth0', '10.0.0.7'), mtu: 0 }];
  mentions(
    t,
    await refusal(t, () => chooseUnderlay(links, options({ iface: ['eth0'] }), ['ipv4'])),
    'failed to determine MTU for eth0 interface; set one',
  );
});

t.test("logUnderlay logs the misses and the choice in flannel's lines", async (t) => {
  FakeIp.install(t).answer('-4 route show default', [{ dst: 'default', dev: 'eth1' }]);
  const log = catchLog(t);
  const logged = async (given: Partial<UnderlayOptions>): Promise<string[]> => {
    logUnderlay(await chooseUnderlay(LINKS, options(given), ['ipv4']));
    return log.splice(0).map((line) => line.replace(/^I /, ''));
  };
  t.strictSame(await logged({}), [
    'Determining IP address of default interface',
    'Using interface with name eth1 and address 172.16.0.1',
    'Defaulting external address to interface address (172.16.0.1)',
  ]);
  t.strictSame(await logged({ iface: ['eth9', '10.0.0.7'], publicIp: { ipv4: '203.0.113.5' } }), [
    `Could not find valid interface matching eth9: no interface has this name or address ${THERE}`,
    'Searching for interface using 10.0.0.7',
    'Using interface with name eth0 and address 10.0.0.7',
    'Using 203.0.113.5 as external address',
  ]);
});

const DUAL = [
  link('lo'),
  link('eth0', '192.168.77.1', 'fd00:77::1', 'fe80::1'),
  link('eth1', '172.16.0.1', 'fe80::2'),
  link('eth2', 'fd00:78::1'),
];
const BOTH = ['ipv4', 'ipv6'] as const;

/** The interface, and the address and public address of each family. */
async function chooseOf(wanted: readonly Family[], given: Partial<UnderlayOptions>): Promise<string> {
  const { link, families } = await chooseUnderlay(DUAL, options(given), wanted);
  const addresses = valuesOf(families).flatMap(({ address, publicIp }) => [address, publicIp]);
  return [link.name, ...addresses.map(formatIp)].join(' ');
}

t.test('chooseUnderlay with two families needs an address of each', async (t) => {
  const eth0 = 'eth0 192.168.77.1 192.168.77.1 fd00:77::1 fd00:77::1';
  for (const given of [
    { iface: ['eth1', 'eth2', 'eth0'] },
    { iface: ['fd00:77::1'] },
    { ifaceRegex: ['^(192|fd00:77)'] },
    { publicIp: { ipv4: '192.168.77.1' } },
    { publicIp: { ipv6: 'fd00:77::1' } },
  ]) {
    t.equal(await chooseOf(BOTH, given), eth0, JSON.stringify(given));
  }
  t.equal(
    await chooseOf(BOTH, { iface: ['eth0'], publicIp: { ipv4: '203.0.113.5', ipv6: '2001:db8::5' } }),
    'eth0 192.168.77.1 203.0.113.5 fd00:77::1 2001:db8::5',
  );
});

t.test('chooseUnderlay with IPv6 alone needs no IPv4 address', async (t) => {
  t.equal(await chooseOf(['ipv6'], { iface: ['eth2'] }), 'eth2 fd00:78::1 fd00:78::1');
  FakeIp.install(t).answer('-6 route show default', [{ dst: 'default', dev: 'eth2' }]);
  t.equal(await chooseOf(['ipv6'], {}), 'eth2 fd00:78::1 fd00:78::1');
});

t.test('chooseUnderlay refuses default routes through two interfaces', async (t) => {
  const ip = FakeIp.install(t);
  ip.answer('-4 route show default', [{ dst: 'default', dev: 'eth0' }]);
  mentions(t, await refusal(t, () => chooseOf(BOTH, {})), 'unable to find default v6 route');
  ip.answer('-6 route show default', [{ dst: 'default', dev: 'eth2' }]);
  mentions(
    t,
    await refusal(t, () => chooseOf(BOTH, {})),
    'v6 default route interface eth2 must be the same with v4 default route interface eth0',
    'eth0:[192.168.77.1 fd00:77::1 fe80::1]',
  );
});

t.test('chooseUnderlay refuses a link-local address', async (t) => {
  mentions(
    t,
    await refusal(t, () => chooseOf(BOTH, { iface: ['eth1'] })),
    'failed to find IPv6 address for interface eth1: fe80::2 is link-local',
  );
  for (const publicIpv6 of ['fe80::1', '192.168.77.1', 'x', '::1']) {
    mentions(
      t,
      await refusal(t, () => chooseOf(BOTH, { publicIp: { ipv6: publicIpv6 }, iface: ['eth0'] })),
      `invalid public IPv6 address: ${publicIpv6}; --public-ipv6 needs`,
    );
  }
});

t.test("the notes of an IPv6 choice are flannel's lines", async (t) => {
  const { notes } = await chooseUnderlay(DUAL, options({ iface: ['eth0'] }), BOTH);
  t.same(notes, [
    'Using interface with name eth0 and address 192.168.77.1',
    'Using interface with name eth0 and v6 address fd00:77::1',
    'Defaulting external address to interface address (192.168.77.1)',
    'Defaulting external v6 address to interface address (fd00:77::1)',
  ]);
});
