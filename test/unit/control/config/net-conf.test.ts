import { join } from 'node:path';
import t, { type Test } from 'tap';
import { familiesIn } from '../../../../src/control/addresses/family.js';
import { type NetConf, OVERHEAD, OVERHEAD6, readNetConf } from '../../../../src/control/config/net-conf.js';
import { VXLAN } from '../../../support/conf.js';
import { mentions, refusal } from '../../../support/user-error.js';

function write(t: Test, content: unknown): string {
  const text = typeof content === 'string' ? content : JSON.stringify(content, null, 1);
  return join(t.testdir({ 'net-conf.json': text }), 'net-conf.json');
}

async function read(t: Test, content: unknown): Promise<NetConf> {
  return readNetConf(write(t, content));
}

const NETWORK = { base: 0x0af40000, prefixLength: 16 };

t.test("readNetConf reads the example of flannel's documentation", async (t) => {
  t.match(await read(t, { Network: '10.244.0.0/16', EnableNFTables: false, Backend: { Type: 'vxlan' } }), {
    origin: /net-conf\.json$/,
    networks: { ipv4: { network: NETWORK, subnets: { length: 24, min: 0x0af40100, max: 0x0af4ff00 } } },
    nftables: false,
    backend: VXLAN,
    ignored: [],
  });
});

t.test('readNetConf without Backend uses vxlan with its defaults', async (t) => {
  t.same((await read(t, { Network: '10.244.0.0/16' })).backend, VXLAN);
});

t.test('readNetConf reads every setting of vxlan', async (t) => {
  const { nftables, backend } = await read(t, {
    Network: '10.244.0.0/16',
    EnableNFTables: true,
    Backend: {
      ...{ Type: 'vxlan', VNI: 4096, Port: 4789, MTU: 9000 },
      ...{ Learning: true, DirectRouting: true, GBP: true },
    },
  });
  t.equal(nftables, true);
  t.same(backend, {
    ...{ type: 'vxlan', vni: 4096, port: 4789, outerMtu: 9000 },
    ...{ learning: true, directRouting: true, gbp: true },
  });
});

t.test('readNetConf ignores the case of keys and of the backend type', async (t) => {
  const { networks, backend } = await read(t, {
    network: '10.244.0.0/16',
    BACKEND: { type: 'VXLAN', vni: 7, port: 1, mtu: 1400, learning: true },
  });
  t.same(networks.ipv4?.network, NETWORK);
  t.same(backend, { ...VXLAN, vni: 7, port: 1, outerMtu: 1400, learning: true });
});

t.test('readNetConf uses the last of duplicate keys', async (t) => {
  const text =
    '{ "Network": "10.1.0.0/16", "network": "10.244.0.0/16", "Backend": { "Type": "udp", "type": "vxlan" } }';
  t.same((await read(t, text)).networks.ipv4?.network, NETWORK);
});

t.test('readNetConf clears the host bits of Network', async (t) => {
  t.same((await read(t, { Network: '10.244.3.7/16' })).networks.ipv4?.network, NETWORK);
});

t.test('readNetConf ignores unknown keys', async (t) => {
  t.same(
    (await read(t, { Network: '10.244.0.0/16', Colour: 'blue', Backend: { Type: 'vxlan', Shape: 1 } }))
      .networks.ipv4?.network,
    NETWORK,
  );
});

t.test('Port 0 and MTU 0 mean the default, as in flannel', async (t) => {
  const { backend } = await read(t, {
    Network: '10.244.0.0/16',
    Backend: { Type: 'vxlan', Port: 0, MTU: 0 },
  });
  t.equal(backend.port, 8472);
  t.equal(backend.outerMtu, undefined);
});

t.test('readNetConf accepts both ends of every range', async (t) => {
  for (const backend of [
    { VNI: 0, Port: 1, MTU: 118 },
    { VNI: 9_999_999, Port: 65535, MTU: 65535 },
  ]) {
    const read_ = await read(t, { Network: '10.244.0.0/16', Backend: { Type: 'vxlan', ...backend } });
    t.match(read_.backend, { vni: backend.VNI, port: backend.Port, outerMtu: backend.MTU });
  }
});

t.test('OVERHEAD counts IPv4 and UDP, and with vxlan also VXLAN and Ethernet', async (t) => {
  t.same(OVERHEAD, { vxlan: 50, udp: 28 });
  t.equal(OVERHEAD6, 70, 'IPv6 has a longer header');
});

t.test("readNetConf reads the udp example of flannel's documentation", async (t) => {
  t.match(await read(t, { Network: '10.244.0.0/16', Backend: { Type: 'udp', Port: 7890 } }), {
    networks: { ipv4: { network: NETWORK } },
    backend: { type: 'udp', port: 7890, outerMtu: undefined },
    ignored: [],
  });
});

t.test('backend udp defaults to port 8285 and accepts the MTU of the underlay', async (t) => {
  for (const Port of [undefined, 0]) {
    const { backend } = await read(t, { Network: '10.244.0.0/16', Backend: { type: 'UDP', Port, mtu: 96 } });
    t.same(backend, { type: 'udp', port: 8285, outerMtu: 96 });
  }
});

t.test('backend udp reports the settings of vxlan as ignored, with any value', async (t) => {
  const { backend, ignored } = await read(t, {
    Network: '10.244.0.0/16',
    EnableIPv6: false,
    Backend: { Type: 'udp', VNI: -7, learning: 'x', DirectRouting: false, GBP: true, Shape: 1 },
  });
  t.same(backend, { type: 'udp', port: 8285, outerMtu: undefined });
  t.same(
    ignored,
    ['VNI', 'learning', 'DirectRouting', 'GBP'].map(
      (key) => `Backend.${key}: backend type udp ignores this setting of vxlan`,
    ),
  );
});

t.test('readNetConf reports unsupported settings as ignored and does not refuse them', async (t) => {
  const { ignored } = await read(t, {
    Network: '10.244.0.0/16',
    EnableIPv6: true,
    IPv6Network: 'fd00:244::/56',
    Backend: { Type: 'vxlan', DirectRouting: true, GBP: true, learning: true },
  });
  t.equal(ignored.length, 2);
  mentions(t, ignored.join('\n'), 'Backend.GBP: ', 'Backend.learning: learning works over IPv4 only');
  const { ignored: none } = await read(t, {
    Network: '10.244.0.0/16',
    EnableIPv6: false,
    Backend: { Type: 'vxlan', DirectRouting: false, GBP: false },
  });
  t.same(none, []);
});

t.test('readNetConf reads network and subnets of each enabled family', async (t) => {
  const NETWORK6 = { base: 0xfd00_0244n << 96n, prefixLength: 48 };
  const text = { Network: '10.244.0.0/16', EnableIPv6: true, IPv6Network: 'fd00:244::1/48' };
  const dual = await read(t, text);
  t.same(familiesIn(dual.networks), ['ipv4', 'ipv6']);
  t.same(dual.networks.ipv4?.network, NETWORK);
  t.same(dual.networks.ipv6?.network, NETWORK6, 'the host bits are cleared');
  const min = (0xfd00_0244n << 96n) + (1n << 64n);
  t.same(dual.networks.ipv6?.subnets, { length: 64, min, max: (0xfd00_0244n << 96n) + (0xffffn << 64n) });
  const single = await read(t, { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fd00:244::/48' });
  t.same(familiesIn(single.networks), ['ipv6'], 'Network is not required');
  t.same(single.networks.ipv6?.network, NETWORK6);
  t.same(
    familiesIn((await read(t, { EnableIPv4: false })).networks),
    [],
    'no family is valid here; makePlan refuses it',
  );
});

const vxlan = { Type: 'vxlan' };
const base = { Network: '10.244.0.0/16' };

/** The invalid key, the file, and what the error contains besides path and value. */
const BAD: [key: string, content: Record<string, unknown>, says: string | RegExp][] = [
  ['Network', {}, 'is missing: please define a correct Network parameter in the flannel config; set it to'],
  ['Network', { Network: '' }, 'like "10.244.0.0/16"'],
  ['Network', { Network: null }, 'is missing'],
  ['Network', { Network: 'pods' }, 'not an IPv4 network; set it to'],
  ['Network', { Network: '10.244.0.0' }, 'not an IPv4 network'],
  ['Network', { Network: '10.244.0.0/33' }, 'not an IPv4 network'],
  ['Network', { Network: '300.0.0.0/8' }, 'not an IPv4 network'],
  ['Network', { Network: 'fc00::/48' }, 'an IPv6 network belongs in IPv6Network; set it to'],
  ['Network', { Network: '0.0.0.0/0' }, 'the pod network cannot be all of IPv4'],
  ['Network', { Network: 10 }, 'must be a string'],
  ['EnableIPv4', { ...base, EnableIPv4: 'yes' }, 'must be true or false'],
  [
    'EnableIPv6',
    { ...base, EnableIPv6: true, Backend: { Type: 'udp' } },
    'udp supports IPv4 only; set it to false',
  ],
  [
    'IPv6Network',
    { ...base, EnableIPv6: true },
    /please define a correct IPv6Network parameter in the flannel config; .* or set EnableIPv6 to false/,
  ],
  [
    'IPv6Network',
    { ...base, EnableIPv6: true, IPv6Network: '10.1.0.0/16' },
    'an IPv4 network belongs in Network',
  ],
  [
    'IPv6Network',
    { ...base, EnableIPv6: true, IPv6Network: '::/0' },
    'the pod network cannot be all of IPv6',
  ],
  [
    'Backend.VNI',
    { ...base, EnableIPv6: true, IPv6Network: 'fd00::/48', Backend: { ...vxlan, VNI: 10_000 } },
    'flannel-v6.10000 is too long for a device name in Linux; use a VNI up to 9999',
  ],
  ['Backend.Port', { ...base, Backend: { Type: 'udp', Port: 65536 } }, 'from 0 to 65535'],
  ['Backend.MTU', { ...base, Backend: { Type: 'udp', MTU: 95 } }, 'from 96 to 65535'],
  ['Backend', { ...base, Backend: 'vxlan' }, 'must be an object'],
  ['Backend.Type', { ...base, Backend: {} }, 'unknown backend type; write "vxlan" or "udp"'],
  ['Backend.Type', { ...base, Backend: { Type: '' } }, 'unknown backend type; write "vxlan" or "udp"'],
  ['Backend.Type', { ...base, Backend: { Type: 'vlan' } }, 'unknown backend type; write "vxlan" or "udp"'],
  [
    'Backend.Type',
    { ...base, Backend: { Type: 'host-gw' } },
    'this version of Weft does not support this backend type of flannel; write "vxlan" or "udp"',
  ],
  ['Backend.Type', { ...base, Backend: { Type: 1 } }, 'must be a string'],
  ['Backend.VNI', { ...base, Backend: { ...vxlan, VNI: -1 } }, 'from 0 to 16777215'],
  ['Backend.VNI', { ...base, Backend: { ...vxlan, VNI: 16_777_216 } }, 'from 0 to 16777215'],
  ['Backend.VNI', { ...base, Backend: { ...vxlan, VNI: 1.5 } }, 'must be a whole number'],
  ['Backend.VNI', { ...base, Backend: { ...vxlan, VNI: '1' } }, 'must be a whole number'],
  ['Backend.VNI', { ...base, Backend: { ...vxlan, VNI: 10_000_000 } }, 'use a VNI up to 9999999'],
  ['Backend.Port', { ...base, Backend: { ...vxlan, Port: -1 } }, 'from 0 to 65535'],
  ['Backend.Port', { ...base, Backend: { ...vxlan, Port: 65536 } }, 'from 0 to 65535'],
  ['Backend.Port', { ...base, Backend: { ...vxlan, Port: '8472' } }, 'must be a whole number'],
  ['Backend.MTU', { ...base, Backend: { ...vxlan, MTU: 117 } }, 'from 118 to 65535'],
  ['Backend.MTU', { ...base, Backend: { ...vxlan, MTU: 65536 } }, /from \d+ to 65535/],
  ['Backend.MTU', { ...base, Backend: { ...vxlan, MTU: -1 } }, /from \d+ to 65535/],
  ['Backend.Learning', { ...base, Backend: { ...vxlan, Learning: 1 } }, 'must be true or false'],
  ['Backend.GBP', { ...base, Backend: { ...vxlan, GBP: 'no' } }, 'must be true or false'],
  ['SubnetLen', { ...base, SubnetLen: 31 }, 'SubnetLen must be less than /31'],
  ['SubnetMin', { ...base, SubnetMin: '10.245.1.0' }, 'SubnetMin is not in the range of the Network'],
];

t.test('readNetConf refuses invalid input in one line with file, line, path, value and remedy', async (t) => {
  for (const [key, content, says] of BAD) {
    const name = JSON.stringify(content);
    const path = write(t, content);
    const message = await refusal(t, () => readNetConf(path), name);
    const [outer, inner] = key.split('.') as [string, string | undefined];
    const within = content[outer] as Record<string, unknown> | undefined;
    const value = inner === undefined ? within : within?.[inner];
    const found = value === undefined || value === null ? 'is missing' : `is ${JSON.stringify(value)}`;
    mentions(
      t,
      message,
      new RegExp(`^${path.replaceAll('.', '\\.')}:\\d+ \\(--net-config-path\\): `),
      `${key} ${found}: `,
      says,
    );
  }
});

t.test('an error names the line of the value and spells the key as in the file', async (t) => {
  const path = write(
    t,
    '{\n  "network": "10.244.0.0/16",\n  "backend": {\n    "type": "vxlan",\n    "vni": -1\n  }\n}',
  );
  mentions(
    t,
    await refusal(t, () => readNetConf(path)),
    `${path}:5 (--net-config-path): backend.vni is -1: `,
  );
});

t.test('readNetConf refuses a missing file and a file that is not JSON', async (t) => {
  const path = write(t, '{ "Network": "10.244.0.0/16", }');
  mentions(t, await refusal(t, () => readNetConf(path)), `${path}:1:31 (--net-config-path): not JSON`);
  mentions(
    t,
    await refusal(t, () => readNetConf(`${path}.none`)),
    `--net-config-path ${path}.none: no such file`,
  );
});
