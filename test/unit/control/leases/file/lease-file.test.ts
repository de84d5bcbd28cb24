import { join } from 'node:path';
import t, { type Test } from 'tap';
import { formatCidr } from '../../../../../src/control/addresses/cidr.js';
import { formatIp } from '../../../../../src/control/addresses/ip.js';
import { readLeaseFile } from '../../../../../src/control/leases/file/lease-file.js';
import { deriveVtepMac } from '../../../../../src/control/leases/vtep-mac.js';
import { mentions, refusal } from '../../../../support/user-error.js';

type Fields = Record<string, unknown>;

/** One lease per line: lease i is on line i + 2. */
function write(t: Test, leases: readonly unknown[]): string {
  const lines = leases.map((lease) => JSON.stringify(lease)).join(',\n');
  return join(t.testdir({ 'leases.json': `{ "leases": [\n${lines}\n] }` }), 'leases.json');
}

/** A valid lease of node `index`, with fields replaced. */
function lease(index: number, fields: Fields = {}): Fields {
  return {
    Subnet: `10.244.${index}.0/24`,
    PublicIP: `192.168.77.${index}`,
    BackendType: 'vxlan',
    BackendData: { VNI: 1, VtepMAC: `02:00:00:00:00:0${index}` },
    ...fields,
  };
}

/** What was read, as text. */
async function read(t: Test, leases: readonly unknown[], vni = 1): Promise<string[]> {
  const set = await readLeaseFile(write(t, leases), vni, ['ipv4']);
  return (set.leases.ipv4 ?? []).map(
    ({ subnet, publicIp, vtepMac }) => `${formatCidr(subnet)} ${formatIp(publicIp)} ${vtepMac}`,
  );
}

t.test(
  'readLeaseFile returns subnet, public IP and MAC of every lease, in the order of the file',
  async (t) => {
    t.same(await read(t, [lease(2), lease(1)]), [
      '10.244.2.0/24 192.168.77.2 02:00:00:00:00:02',
      '10.244.1.0/24 192.168.77.1 02:00:00:00:00:01',
    ]);
  },
);

t.test('readLeaseFile derives a missing MAC', async (t) => {
  const derived = deriveVtepMac(1, '192.168.77.1');
  for (const fields of [
    { BackendType: undefined, BackendData: undefined },
    { BackendType: '', BackendData: {} },
    { BackendData: null },
    { BackendData: { VNI: 1 } },
    { BackendData: { VtepMAC: '' } },
    { BackendData: { VtepMAC: null } },
  ]) {
    t.same(
      await read(t, [lease(1, fields)]),
      [`10.244.1.0/24 192.168.77.1 ${derived}`],
      JSON.stringify(fields),
    );
  }
});

t.test('readLeaseFile derives the MAC for the VNI of the cluster', async (t) => {
  const [text] = await read(t, [lease(1, { BackendData: undefined })], 42);
  t.equal(text?.split(' ')[2], deriveVtepMac(42, '192.168.77.1'));
});

t.test("readLeaseFile ignores flannel's other fields and the VNI of a lease", async (t) => {
  const fields = {
    PublicIPv6: '2001:db8::1',
    BackendV6Data: null,
    Expiration: 'x',
    BackendData: { VNI: 9, VtepMAC: '02:00:00:00:00:01' },
  };
  t.same(await read(t, [lease(1, fields)]), ['10.244.1.0/24 192.168.77.1 02:00:00:00:00:01']);
});

t.test('readLeaseFile ignores the case of keys and MACs', async (t) => {
  const text =
    '{ "LEASES": [ { "subnet": "10.244.1.0/24", "publicip": "192.168.77.1", "backenddata": { "vtepmac": "E6:28:E5:CD:55:90" } } ] }';
  const path = join(t.testdir({ f: text }), 'f');
  t.match((await readLeaseFile(path, 1, ['ipv4'])).leases.ipv4, [{ vtepMac: 'e6:28:e5:cd:55:90' }]);
});

t.test('readLeaseFile accepts an empty list', async (t) => {
  t.same(await read(t, []), []);
});

t.test('readLeaseFile leaves out leases of other backends, with a log line each', async (t) => {
  const set = await readLeaseFile(
    write(t, [lease(1, { BackendType: 'udp' }), lease(2), lease(3, { BackendType: 'VXLAN' })]),
    1,
    ['ipv4'],
  );
  t.same(
    set.leases.ipv4?.map(({ publicIp }) => formatIp(publicIp)),
    ['192.168.77.2'],
  );
  t.same(set.ignored, [
    'ignoring non-vxlan v4Subnet(10.244.1.0/24): type=udp',
    'ignoring non-vxlan v4Subnet(10.244.3.0/24): type=VXLAN',
  ]);
});

t.test('readLeaseFile does not check the backend data of another backend', async (t) => {
  const other = lease(1, { BackendType: 'wireguard', BackendData: { VtepMAC: 'none', PublicKey: 'x' } });
  t.same(await read(t, [other, lease(2)]), ['10.244.2.0/24 192.168.77.2 02:00:00:00:00:02']);
});

t.test('readLeaseFile for backend udp accepts leases of any backend, with any backend data', async (t) => {
  const set = await readLeaseFile(
    write(t, [
      lease(1),
      { Subnet: '10.244.2.0/24', PublicIP: '192.168.77.2', PublicIPv6: null },
      lease(3, { BackendType: 'host-gw', BackendData: 'x' }),
      lease(4, { BackendData: { VtepMAC: '02:00:00:00:00:01' } }),
    ]),
    undefined,
    ['ipv4'],
  );
  t.same(
    set.leases.ipv4?.map(({ subnet, publicIp, vtepMac }) => [
      formatCidr(subnet),
      formatIp(publicIp),
      vtepMac,
    ]),
    [1, 2, 3, 4].map((index) => [`10.244.${index}.0/24`, `192.168.77.${index}`, undefined]),
  );
  t.same(set.ignored, []);
});

t.test('readLeaseFile for backend udp refuses two leases that claim the same', async (t) => {
  for (const fields of [
    { Subnet: '10.244.1.128/25' },
    { PublicIP: '192.168.77.1' },
    { PublicIP: '10.244.1.9' },
  ]) {
    const path = write(t, [lease(1), lease(2, fields)]);
    mentions(
      t,
      await refusal(t, () => readLeaseFile(path, undefined, ['ipv4'])),
      `${path}:3 (--lease-file): leases[1].`,
    );
  }
});

t.test('readLeaseFile refuses an invalid lease with file, line, path, value and remedy', async (t) => {
  const cases: [Fields, key: string, says: string][] = [
    [{ Subnet: undefined }, 'Subnet is missing', 'write the node\'s pod subnet, like "10.244.1.0/24"'],
    [{ Subnet: 7 }, 'Subnet is 7', 'must be a string'],
    [{ Subnet: '10.244.1.0' }, 'Subnet is "10.244.1.0"', 'not an IPv4 subnet, like "10.244.1.0/24"'],
    [{ Subnet: '10.244.1.0/33' }, 'Subnet is "10.244.1.0/33"', 'not an IPv4 subnet'],
    [{ Subnet: '10.244.1/24' }, 'Subnet is "10.244.1/24"', 'not an IPv4 subnet'],
    [{ Subnet: '10.244.1.0-24' }, 'Subnet is "10.244.1.0-24"', 'not an IPv4 subnet'],
    [
      { Subnet: '10.244.1.7/24' },
      'Subnet is "10.244.1.7/24"',
      'host bits are set; the subnet is "10.244.1.0/24"',
    ],
    [{ Subnet: '10.244.1.0/32' }, 'Subnet is "10.244.1.0/32"', 'must be from 1 to 31'],
    [{ Subnet: '0.0.0.0/0' }, 'Subnet is "0.0.0.0/0"', 'must be from 1 to 31'],
    [{ Subnet: 'fc00:1::/64' }, 'Subnet is "fc00:1::/64"', 'this is IPv6; write an IPv4 subnet'],
    [
      { PublicIP: undefined },
      'PublicIP is missing',
      'write the node\'s underlay address, like "192.168.77.1"',
    ],
    [{ PublicIP: 'node1' }, 'PublicIP is "node1"', 'not an IPv4 address'],
    [{ PublicIP: '192.168.77' }, 'PublicIP is "192.168.77"', 'not an IPv4 address'],
    [{ PublicIP: '192.168.77.1/24' }, 'PublicIP is "192.168.77.1/24"', 'not an IPv4 address'],
    [{ PublicIP: '2001:db8::1' }, 'PublicIP is "2001:db8::1"', 'this is IPv6; write an IPv4 address'],
    [{ PublicIP: '0.0.0.0' }, 'PublicIP is "0.0.0.0"', 'write a unicast one'],
    [{ PublicIP: '127.0.0.1' }, 'PublicIP is "127.0.0.1"', 'write a unicast one'],
    [{ PublicIP: '224.0.0.5' }, 'PublicIP is "224.0.0.5"', 'write a unicast one'],
    [{ BackendType: 1 }, 'BackendType is 1', 'must be a string'],
    [{ BackendData: 'x' }, 'BackendData is "x"', 'must be an object'],
    [{ BackendData: { VtepMAC: 5 } }, 'BackendData.VtepMAC is 5', 'must be a string'],
    [{ BackendData: { VtepMAC: '02:00' } }, 'BackendData.VtepMAC is "02:00"', 'like "02:00:00:00:00:01"'],
    [
      { BackendData: { VtepMAC: '01:00:5e:00:00:01' } },
      'BackendData.VtepMAC is "01:00:5e:00:00:01"',
      'not a unicast MAC',
    ],
    [
      { BackendData: { VtepMAC: 'ff:ff:ff:ff:ff:ff' } },
      'BackendData.VtepMAC is "ff:ff:ff:ff:ff:ff"',
      'not a unicast MAC',
    ],
    [
      { BackendData: { VtepMAC: '00:00:00:00:00:00' } },
      'BackendData.VtepMAC is "00:00:00:00:00:00"',
      'not a unicast MAC',
    ],
  ];
  for (const [fields, found, says] of cases) {
    const path = write(t, [lease(1), lease(2, fields)]);
    const message = await refusal(t, () => readLeaseFile(path, 1, ['ipv4']), JSON.stringify(fields));
    mentions(t, message, `${path}:3 (--lease-file): leases[1].${found}: `, says);
  }
});

t.test(
  'readLeaseFile refuses the later of two leases that claim the same, and names the earlier',
  async (t) => {
    const derived = deriveVtepMac(1, '192.168.77.1');
    const cases: [string, first: Fields, second: Fields, found: string, says: string][] = [
      [
        'one subnet',
        {},
        { Subnet: '10.244.1.0/24' },
        'Subnet is "10.244.1.0/24"',
        'it overlaps 10.244.1.0/24 of leases[0]',
      ],
      [
        'one inside the other',
        {},
        { Subnet: '10.244.1.128/25' },
        'Subnet is "10.244.1.128/25"',
        'it overlaps 10.244.1.0/24 of leases[0]',
      ],
      [
        'one around the other',
        {},
        { Subnet: '10.244.0.0/16' },
        'Subnet is "10.244.0.0/16"',
        'it overlaps 10.244.1.0/24 of leases[0]',
      ],
      [
        'one public IP',
        {},
        { PublicIP: '192.168.77.1' },
        'PublicIP is "192.168.77.1"',
        'leases[0] has it too',
      ],
      [
        'one MAC',
        {},
        { BackendData: { VtepMAC: '02:00:00:00:00:01' } },
        'BackendData.VtepMAC is "02:00:00:00:00:01"',
        'leases[0] has it too',
      ],
      [
        'one MAC in different spelling',
        { BackendData: { VtepMAC: '0a:00:00:00:00:0b' } },
        { BackendData: { VtepMAC: '0A:00:00:00:00:0B' } },
        'BackendData.VtepMAC is "0a:00:00:00:00:0b"',
        'leases[0] has it too',
      ],
      [
        'a MAC that is derived for the other',
        { BackendData: undefined },
        { BackendData: { VtepMAC: derived } },
        `BackendData.VtepMAC is "${derived}"`,
        'leases[0] has it too',
      ],
      [
        "a derived MAC that is the other's",
        { PublicIP: '192.168.77.9', BackendData: { VtepMAC: derived } },
        { PublicIP: '192.168.77.1', BackendData: undefined },
        `BackendData.VtepMAC is "${derived}"`,
        'leases[0] has it too',
      ],
    ];
    for (const [name, first, second, found, says] of cases) {
      const path = write(t, [lease(1, first), lease(3), lease(2, second)]);
      const message = await refusal(t, () => readLeaseFile(path, 1, ['ipv4']), name);
      mentions(
        t,
        message,
        `${path}:4 (--lease-file): leases[2].${found}: `,
        says,
        'every node needs its own',
      );
    }
  },
);

t.test('readLeaseFile finds an overlap among many subnets of different sizes', async (t) => {
  const leases = Array.from({ length: 50 }, (_, index) => ({
    Subnet: `10.${index}.0.0/${16 + (index % 8)}`,
    PublicIP: `192.168.77.${index + 1}`,
  }));
  t.equal((await read(t, leases)).length, 50);
  const path = write(t, [...leases, { Subnet: '10.16.128.0/24', PublicIP: '192.168.78.1' }]);
  mentions(
    t,
    await refusal(t, () => readLeaseFile(path, 1, ['ipv4'])),
    'leases[50].Subnet',
    'it overlaps 10.16.0.0/16 of leases[16]',
  );
});

t.test('readLeaseFile accepts adjacent subnets', async (t) => {
  const subnets = ['10.0.0.0/24', '10.0.1.0/25', '10.0.1.128/25', '10.0.2.0/23', '255.255.255.0/24'];
  const leases = subnets.map((Subnet, index) => ({ Subnet, PublicIP: `192.168.77.${index + 1}` }));
  t.equal((await read(t, leases)).length, subnets.length);
});

t.test(
  'readLeaseFile refuses a node inside a pod subnet, because the tunnel would carry its own packets',
  async (t) => {
    const path = write(t, [lease(1), lease(2, { PublicIP: '10.244.1.255' })]);
    mentions(
      t,
      await refusal(t, () => readLeaseFile(path, 1, ['ipv4'])),
      `${path}:3 (--lease-file): leases[1].PublicIP is "10.244.1.255": `,
      'inside leases[0].Subnet 10.244.1.0/24',
    );
    t.equal(
      (await read(t, [lease(1), lease(2, { PublicIP: '10.244.3.0' })])).length,
      2,
      'an address after the last subnet is valid',
    );
  },
);

t.test('readLeaseFile refuses a file without a list of leases', async (t) => {
  for (const [text, says] of [
    ['{}', ':1 (--lease-file): leases is missing: write { "leases": [ ... ] }'],
    ['{ "leases": null }', 'leases is missing'],
    ['{ "leases": {} }', 'leases is {}: must be an array [ ... ]'],
    ['{ "leases": [\n 1 ] }', ':2 (--lease-file): leases[0] is 1: must be an object { ... }'],
    ['{ "leases": [\n null ] }', ':2 (--lease-file): leases[0] is null: must be an object { ... }'],
    ['[]', 'it must be one JSON object { ... }, not []'],
    ['{ "leases": [\n  { "Subnet": "10.244.1.0/24" "PublicIP" } ] }', ':2:31 (--lease-file): not JSON: '],
    ['', ':1 (--lease-file): not JSON: the file is empty'],
  ] as const) {
    const path = join(t.testdir({ f: text }), 'f');
    mentions(t, await refusal(t, () => readLeaseFile(path, 1, ['ipv4']), text), path, says);
  }
  const path = join(t.testdir({}), 'none');
  mentions(
    t,
    await refusal(t, () => readLeaseFile(path, 1, ['ipv4'])),
    `--lease-file ${path}: no such file; create it`,
  );
});

t.test('readLeaseFile accepts ten thousand leases', async (t) => {
  const leases = Array.from({ length: 10_000 }, (_, index) => ({
    Subnet: `10.${index >> 8}.${index & 255}.0/24`,
    PublicIP: `192.${168 + (index >> 14)}.${(index >> 8) & 255}.${index & 255}`,
  }));
  t.equal((await read(t, leases)).length, 10_000);
});

const lease6 = (index: number, fields: Fields = {}): Fields => ({
  IPv6Subnet: `fd00:244:${index}::/64`,
  PublicIPv6: `fd00:77::${index}`,
  BackendV6Data: { VNI: 1, VtepMAC: `02:00:00:00:06:0${index}` },
  ...fields,
});

t.test('readLeaseFile accepts leases with one family in a cluster with two', async (t) => {
  const none = { Subnet: '0.0.0.0/0', PublicIP: '0.0.0.0', IPv6Subnet: '::/0', PublicIPv6: null };
  const path = write(t, [
    { ...lease(1), ...lease6(1) },
    { ...none, ...lease6(2, { BackendV6Data: null }) },
    { ...none, ...lease(3) },
    { ...lease6(4), BackendType: 'wireguard' },
  ]);
  const { leases, ignored } = await readLeaseFile(path, 1, ['ipv4', 'ipv6']);
  t.same(
    leases.ipv4?.map(({ subnet }) => formatCidr(subnet)),
    ['10.244.1.0/24', '10.244.3.0/24'],
  );
  t.same(
    leases.ipv6?.map(
      ({ subnet, publicIp, vtepMac }) => `${formatCidr(subnet)} ${formatIp(publicIp)} ${vtepMac}`,
    ),
    [
      'fd00:244:1::/64 fd00:77::1 02:00:00:00:06:01',
      `fd00:244:2::/64 fd00:77::2 ${deriveVtepMac(1, 'fd00:77::2')}`,
    ],
  );
  t.same(ignored, ['ignoring non-vxlan v6Subnet(fd00:244:4::/64): type=wireguard']);
});

t.test('readLeaseFile names the IPv6 keys in its errors', async (t) => {
  for (const [bad, ...says] of [
    [lease6(2, { IPv6Subnet: '10.1.0.0/16' }), 'IPv6Subnet', 'this is IPv4; write an IPv6 subnet'],
    [lease6(2, { IPv6Subnet: 'fd00::1/64' }), 'host bits are set; the subnet is "fd00::/64"'],
    [lease6(2, { IPv6Subnet: 'fd00::/128' }), 'from 1 to 127'],
    [lease6(2, { PublicIPv6: null }), 'PublicIPv6 is missing', 'like "fd00:77::1"'],
    [lease6(2, { PublicIPv6: 'fe80::1' }), 'PublicIPv6', 'no node can have this address'],
    [lease6(2, { PublicIPv6: 'fd00:77::1' }), 'PublicIPv6', 'leases[0] has it too'],
    [lease6(2, { IPv6Subnet: 'fd00:244::/32' }), 'IPv6Subnet', 'overlaps'],
    [lease6(2, { IPv6Subnet: 'fd00:77::/64' }), 'PublicIPv6', 'the tunnel would carry its own packets'],
    [lease6(2, { BackendV6Data: { VtepMAC: '02:00:00:00:06:01' } }), 'BackendV6Data.VtepMAC', 'has it too'],
    [{}, 'Subnet is missing'],
  ] as [Fields, ...string[]][]) {
    const path = write(t, [{ ...lease(1), ...lease6(1) }, bad]);
    mentions(t, await refusal(t, () => readLeaseFile(path, 1, ['ipv4', 'ipv6'])), ...says);
  }
});
