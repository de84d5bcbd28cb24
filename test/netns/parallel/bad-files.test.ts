/** weft run refuses every faulty net-conf.json and lease file in one line that names the fault. */

import { rm } from 'node:fs/promises';
import t from 'tap';
import { netConf } from '../../../lab/leases.js';
import { makeBed } from '../support/bed.js';
import { makePlace, runCommand, runFlags } from '../support/cli.js';
import { ODD_FILES } from '../support/odd-files.js';
import { refused } from '../support/refusal.js';

const NETWORK = '10.244.0.0/16';

/** Content of net-conf.json and the error that Weft prints. */
const NET_CONFS: readonly (readonly [what: string, netConf: object | string, line: RegExp])[] = [
  [
    'not JSON',
    '{\n"Network": "10.244.0.0/16"\n"Backend": {}\n}',
    /net-conf\.json:3:1 \(--net-config-path\): not JSON: /,
  ],
  ['empty', '', /net-conf\.json:1 .*not JSON: the file is empty/],
  ['an array', [], /net-conf\.json .*one JSON object/],
  [
    'without Network',
    { Backend: { Type: 'vxlan' } },
    /net-conf\.json:1 .* Network is missing: please define/,
  ],
  [
    'Network IPv6',
    { Network: 'fd00::/48' },
    /:2 .* Network is "fd00::\/48": an IPv6 network belongs in IPv6Network/,
  ],
  ['Network no CIDR', { Network: '10.244.0.0' }, /:2 .* Network is "10\.244\.0\.0": .*"10\.244\.0\.0\/16"/],
  ['Network a number', { Network: 16 }, /:2 .* Network is 16: must be a string/],
  ['Network 0.0.0.0/0', { Network: '0.0.0.0/0' }, /:2 .* Network is "0\.0\.0\.0\/0": /],
  [
    'IPv4 switched off',
    { EnableIPv4: false, Network: NETWORK },
    /none defined stack: EnableIPv4 and EnableIPv6 are both false/,
  ],
  [
    'an unknown backend type',
    { Network: NETWORK, Backend: { Type: 'geneve' } },
    /:4 .* Backend\.Type is "geneve": unknown backend type; write "vxlan"/,
  ],
  [
    'a backend type that Weft does not support',
    { Network: NETWORK, Backend: { Type: 'host-gw' } },
    /:4 .* Backend\.Type is "host-gw": .*write "vxlan"/,
  ],
  [
    'Backend without Type',
    { Network: NETWORK, Backend: {} },
    /:3 .* Backend\.Type is missing: unknown backend type/,
  ],
  ['Backend a string', { Network: NETWORK, Backend: 'vxlan' }, /:3 .* Backend is "vxlan": must be an object/],
  ['VNI below the range', netConf({ VNI: -1 }), /Backend\.VNI is -1: .* 0 to 16777215/],
  ['VNI above the range', netConf({ VNI: 16_777_216 }), /Backend\.VNI is 16777216: .* 0 to 16777215/],
  ['VNI too long for a device name', netConf({ VNI: 10_000_000 }), /Backend\.VNI is 10000000: .*name/],
  ['VNI a fraction', netConf({ VNI: 1.5 }), /Backend\.VNI is 1\.5: must be a whole number/],
  ['Port above the range', netConf({ Port: 65_536 }), /Backend\.Port is 65536: .* 0 to 65535/],
  ['Port below the range', netConf({ Port: -1 }), /Backend\.Port is -1: .* 0 to 65535/],
  ['MTU below the range', netConf({ MTU: 117 }), /Backend\.MTU is 117: .* 118 to 65535/],
  ['MTU above the range', netConf({ MTU: 65_536 }), /Backend\.MTU is 65536: .* 65535/],
  [
    'Learning that is no boolean',
    { Network: NETWORK, Backend: { Type: 'vxlan', Learning: 1 } },
    /Learning is 1: .*true or false/,
  ],
  [
    'SubnetLen too long',
    { ...netConf(), SubnetLen: 31 },
    /SubnetLen is 31: SubnetLen must be less than \/31/,
  ],
  ['SubnetLen too short', { ...netConf(), SubnetLen: 17 }, /SubnetLen is 17: .*at least four subnets/],
  [
    'SubnetMin outside Network',
    { ...netConf(), SubnetMin: '10.99.0.0' },
    /SubnetMin is "10\.99\.0\.0": SubnetMin is not in the range/,
  ],
  [
    'SubnetMax that is not aligned',
    { ...netConf(), SubnetMax: '10.244.9.1' },
    /SubnetMax is "10\.244\.9\.1": .* boundary/,
  ],
];

const own = { Subnet: '10.244.1.0/24', PublicIP: '192.168.77.1' };
const peer = { Subnet: '10.244.2.0/24', PublicIP: '192.168.77.2' };
const withMac = (VtepMAC: string) => ({ BackendType: 'vxlan', BackendData: { VNI: 1, VtepMAC } });

/** Leases besides this node's own, or the whole text of the file, and the error that Weft prints. */
const LEASES: readonly (readonly [what: string, leases: readonly object[] | string, line: RegExp])[] = [
  ['not JSON', '{ "leases": [\n  { "Subnet" }\n] }', /leases\.json:2:\d+ \(--lease-file\): not JSON: /],
  ['empty', '', /leases\.json:1 .*not JSON: the file is empty/],
  ['an object without leases', '{ "lease": [] }', /leases\.json:1 .* leases is missing: write/],
  ['leases no array', '{ "leases": {} }', /leases\.json:1 .* leases is \{\}: must be an array/],
  [
    'a lease that is not an object',
    '{ "leases": [\n7\n] }',
    /leases\.json:2 .* leases\[0\] is 7: must be an object/,
  ],
  [
    'a bad CIDR',
    [own, { ...peer, Subnet: '10.244.2/24' }],
    /leases\[1\]\.Subnet is "10\.244\.2\/24": not an IPv4 subnet/,
  ],
  [
    'a subnet with host bits',
    [own, { ...peer, Subnet: '10.244.2.1/24' }],
    /leases\[1\]\.Subnet .*host bits.*"10\.244\.2\.0\/24"/,
  ],
  [
    'an IPv6 subnet',
    [own, { ...peer, Subnet: 'fd00::/64' }],
    /leases\[1\]\.Subnet is "fd00::\/64": this is IPv6/,
  ],
  ['no subnet', [own, { PublicIP: '192.168.77.2' }], /leases\[1\]\.Subnet is missing: write/],
  ['no public IP', [own, { Subnet: '10.244.2.0/24' }], /leases\[1\]\.PublicIP is missing: write/],
  [
    'a bad public IP',
    [own, { ...peer, PublicIP: '192.168.77' }],
    /leases\[1\]\.PublicIP is "192\.168\.77": not an IPv4 address/,
  ],
  [
    'an IPv6 public IP',
    [own, { ...peer, PublicIP: 'fd00::2' }],
    /leases\[1\]\.PublicIP is "fd00::2": this is IPv6/,
  ],
  [
    'a multicast public IP',
    [own, { ...peer, PublicIP: '224.0.0.5' }],
    /leases\[1\]\.PublicIP is "224\.0\.0\.5": no node/,
  ],
  [
    'two leases with one subnet',
    [own, { ...peer, Subnet: own.Subnet }],
    /leases\[1\]\.Subnet .*overlaps 10\.244\.1\.0\/24 of leases\[0\]/,
  ],
  [
    'overlapping subnets',
    [own, { ...peer, Subnet: '10.244.0.0/22' }],
    /leases\[1\]\.Subnet .* overlaps .* of leases\[0\]/,
  ],
  [
    'two leases with one public IP',
    [own, { ...peer, PublicIP: own.PublicIP }],
    /leases\[1\]\.PublicIP .*leases\[0\] has it too/,
  ],
  [
    'two leases with one MAC',
    [
      { ...own, ...withMac('02:00:00:00:00:0a') },
      { ...peer, ...withMac('02:00:00:00:00:0A') },
    ],
    /leases\[1\]\.BackendData\.VtepMAC is "02:00:00:00:00:0a": leases\[0\] has it too/,
  ],
  [
    'a bad MAC',
    [own, { ...peer, ...withMac('02:00:00:00:00') }],
    /leases\[1\]\.BackendData\.VtepMAC is "02:00:00:00:00": not a unicast MAC/,
  ],
  [
    'a multicast MAC',
    [own, { ...peer, ...withMac('01:00:5e:00:00:01') }],
    /VtepMAC is "01:00:5e:00:00:01": not a unicast MAC/,
  ],
  [
    'a public IP inside a pod subnet',
    [own, { ...peer, PublicIP: '10.244.1.7' }],
    /leases\[1\]\.PublicIP .*leases\[0\]\.Subnet/,
  ],
  [
    'no lease for this node',
    [peer],
    /leases\.json: no lease for this node: interface ua has 192\.168\.77\.1; add/,
  ],
  ['no lease at all', [], /leases\.json: no lease for this node/],
  [
    "this node's lease for another backend",
    [{ ...own, BackendType: 'host-gw' }, peer],
    /leases\.json: no lease for this node/,
  ],
  [
    'this node outside the Network',
    [{ ...own, Subnet: '10.99.1.0/24' }, peer],
    /10\.244\.0\.0\/16.*10\.99\.1\.0\/24/,
  ],
];

t.test('weft run refuses bad input', async (t) => {
  const lab = await makeBed(t, { name: 'badfiles' });
  const node = lab.node(1);

  for (const [what, conf, line] of NET_CONFS) {
    await t.test(`net-conf: ${what}`, (t) => refused(t, node, { netConf: conf, line }));
  }

  for (const [what, leases, line] of LEASES) {
    const text = typeof leases === 'string' ? leases : JSON.stringify({ leases }, null, 2);
    await t.test(`leases: ${what}`, (t) => refused(t, node, { leases: text, line }));
  }

  for (const [flag, file] of [
    ['--net-config-path', 'net-conf.json'],
    ['--lease-file', 'leases.json'],
  ] as const) {
    for (const { what, make, line } of ODD_FILES) {
      await t.test(`${flag} with ${what}`, async (t) => {
        const place = await makePlace(node);
        const path = flag === '--lease-file' ? place.leaseFile : place.netConfPath;
        await rm(path);
        await make(path, path);
        const { code, stderr } = await runCommand(node, runFlags(place, node.iface));
        t.equal(code, 1);
        t.match(stderr, new RegExp(`^E[^\\n]+\\] [^\\n]*${file}[^\\n]*${line}[^\\n]*\\n$`));
        await rm(path);
      });
    }
  }

  for (const [flag, file] of [
    ['--net-config-path', 'net-conf.json'],
    ['--lease-file', 'leases.json'],
  ] as const) {
    await t.test(`${flag} with a file that does not exist`, async (t) => {
      const place = await makePlace(node);
      const flags = runFlags(place, node.iface).map((word) => word.replace(file, 'missing.json'));
      const { code, stderr } = await runCommand(node, flags);
      t.equal(code, 1);
      t.match(stderr, new RegExp(`^E.*\\] ${flag} \\S+/missing\\.json: no such file; [^\\n]+\n$`));
    });
    await t.test(`${flag} with a directory`, async (t) => {
      const place = await makePlace(node);
      const flags = runFlags(place, node.iface).map((word) => word.replace(`/${file}`, ''));
      const { code, stderr } = await runCommand(node, flags);
      t.equal(code, 1);
      t.match(stderr, new RegExp(`^E.*\\] ${flag} \\S+: this is a directory; [^\\n]+\n$`));
    });
  }
});
