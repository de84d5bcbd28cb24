/** Parsers of what people and other nodes write about leases. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatCidr, parseCidr } from '../../../src/control/addresses/cidr.js';
import { FAMILIES, type Family, perFamily, valuesOf } from '../../../src/control/addresses/family.js';
import { formatIp, isNodeAddress } from '../../../src/control/addresses/ip.js';
import { parseVtepMac } from '../../../src/control/addresses/mac.js';
import { type NetConf, readNetConf } from '../../../src/control/config/net-conf.js';
import { formatLeaseValue, parseLeaseValue } from '../../../src/control/leases/etcd/lease-value.js';
import { formatSubnetKey, parseSubnetKey } from '../../../src/control/leases/etcd/subnet-key.js';
import { readLeaseFile } from '../../../src/control/leases/file/lease-file.js';
import { loadAccess } from '../../../src/control/leases/kubernetes/kubeconfig.js';
import { LeaseSetBuilder } from '../../../src/control/leases/kubernetes/lease-sets.js';
import { recordOf } from '../../../src/control/leases/kubernetes/node-record.js';
import type { Lease } from '../../../src/control/leases/lease.js';
import { formatSubnetEnv, readSubnetEnv } from '../../../src/control/subnet-env.js';
import { KUBERNETES, VXLAN } from '../../support/conf.js';
import { equal, SCRATCH } from './scratch.js';
import type { Parser } from './target.js';

const FILE = join(SCRATCH, 'input');

/** Fails unless a lease is what the rest of Weft relies on. */
function checkLease({ subnet, publicIp, vtepMac }: Lease, family: Family): void {
  equal(formatCidr(parseCidr(formatCidr(subnet), family) as typeof subnet), formatCidr(subnet), 'a subnet');
  if (!isNodeAddress(publicIp)) throw new Error(`${formatIp(publicIp)} is no node's address`);
  if (vtepMac !== undefined) equal(parseVtepMac(vtepMac), vtepMac, 'a MAC');
}

const leaseFile: Parser = {
  name: 'lease-file',
  json: true,
  seeds: [
    JSON.stringify(
      {
        leases: [
          {
            Subnet: '10.244.1.0/24',
            PublicIP: '192.168.77.1',
            BackendType: 'vxlan',
            BackendData: { VNI: 1, VtepMAC: '02:00:00:00:00:0a' },
          },
          {
            Subnet: '10.244.2.0/24',
            PublicIP: '192.168.77.2',
            BackendType: 'vxlan',
            BackendData: { VtepMAC: '02-00-00-00-00-0B' },
          },
          { Subnet: '10.244.3.0/24', PublicIP: '192.168.77.3', BackendType: 'host-gw' },
        ],
      },
      null,
      2,
    ),
    JSON.stringify({
      leases: [
        {
          ...{
            Subnet: '10.244.1.0/24',
            PublicIP: '192.168.77.1',
            BackendData: { VtepMAC: '02:00:00:00:00:0a' },
          },
          ...{
            IPv6Subnet: 'fd00:1::/64',
            PublicIPv6: 'fd01::1',
            BackendV6Data: { VtepMAC: '02:00:00:00:01:0a' },
          },
          BackendType: 'vxlan',
        },
      ],
    }),
  ],
  async check(text) {
    writeFileSync(FILE, text);
    for (const families of [['ipv4'], ['ipv6'], ['ipv4', 'ipv6']] as const) {
      const { leases } = await readLeaseFile(FILE, 1, families);
      for (const family of FAMILIES) for (const lease of leases[family] ?? []) checkLease(lease, family);
      writeFileSync(FILE, formatLeases(leases));
      equal(
        formatLeases((await readLeaseFile(FILE, 1, families)).leases),
        formatLeases(leases),
        'the leases',
      );
      writeFileSync(FILE, text);
    }
  },
};

function formatLeases(leases: { readonly [F in Family]?: readonly Lease[] | undefined }): string {
  const names = {
    ipv4: ['Subnet', 'PublicIP', 'BackendData'],
    ipv6: ['IPv6Subnet', 'PublicIPv6', 'BackendV6Data'],
  } as const;
  const entries = FAMILIES.flatMap((family) =>
    (leases[family] ?? []).map(({ subnet, publicIp, vtepMac }) => {
      const [net, ip, data] = names[family];
      return {
        [net]: formatCidr(subnet),
        [ip]: formatIp(publicIp),
        BackendType: 'vxlan',
        [data]: { VNI: 1, VtepMAC: vtepMac },
      };
    }),
  );
  return JSON.stringify({ leases: entries });
}

const netConf: Parser = {
  name: 'net-conf',
  json: true,
  seeds: [
    JSON.stringify(
      {
        Network: '10.244.0.0/16',
        Backend: { Type: 'vxlan', VNI: 1, Port: 8472, DirectRouting: true, Learning: false, MTU: 1500 },
      },
      null,
      2,
    ),
    JSON.stringify({
      Network: '10.244.0.0/16',
      SubnetLen: 24,
      SubnetMin: '10.244.1.0',
      SubnetMax: '10.244.99.0',
      Backend: { Type: 'udp', Port: 8285 },
    }),
    JSON.stringify({
      EnableIPv4: true,
      EnableIPv6: true,
      Network: '10.244.0.0/16',
      IPv6Network: 'fd00:10::/48',
      EnableNFTables: true,
      Backend: { Type: 'vxlan', GBP: false },
    }),
  ],
  async check(text) {
    writeFileSync(FILE, text);
    const conf = await readNetConf(FILE);
    checkNetConf(conf);
    writeFileSync(FILE, formatNetConf(conf));
    equal(formatNetConf(await readNetConf(FILE)), formatNetConf(conf), 'the configuration');
  },
};

function checkNetConf({ backend, networks }: NetConf): void {
  const within = (value: number, low: number, high: number, what: string): void => {
    if (!Number.isInteger(value) || value < low || value > high) throw new Error(`${what} ${value}`);
  };
  within(backend.port, 1, 65535, 'port');
  if (backend.type === 'vxlan') within(backend.vni, 0, 2 ** 24 - 1, 'VNI');
  if (backend.outerMtu !== undefined) within(backend.outerMtu, 1, 65535, 'MTU');
  if (valuesOf(networks).length === 0) throw new Error('no network');
}

function formatNetConf({ backend, networks, nftables }: NetConf): string {
  const { type, port, outerMtu } = backend;
  const vxlan =
    backend.type === 'vxlan'
      ? {
          VNI: backend.vni,
          Learning: backend.learning,
          DirectRouting: backend.directRouting,
          GBP: backend.gbp,
        }
      : {};
  return JSON.stringify({
    EnableIPv4: networks.ipv4 !== undefined,
    EnableIPv6: networks.ipv6 !== undefined,
    Network: networks.ipv4 && formatCidr(networks.ipv4.network),
    IPv6Network: networks.ipv6 && formatCidr(networks.ipv6.network),
    EnableNFTables: nftables,
    Backend: { Type: type, Port: port, MTU: outerMtu, ...vxlan },
  });
}

const nodeJson = readFileSync(
  new URL('../../../../test/fixtures/kubernetes/node-get.json', import.meta.url),
  'utf8',
);

const kubernetesNode: Parser = {
  name: 'kubernetes-node',
  json: true,
  seeds: [nodeJson, kubernetesNodeOf('10.244.7.0/24', 'fd00:7::/64')],
  check(text) {
    const object = jsonOf(text);
    if (object === undefined) return;
    const record = recordOf(object, 'flannel.alpha.coreos.com/');
    if (record === undefined) return;
    const network = (cidr: string) => ({ network: parseCidr(cidr) as never, subnets: undefined });
    const conf: NetConf = {
      ...{ origin: 'net-conf', nftables: false, backend: VXLAN, ignored: [] },
      networks: { ipv4: network('10.244.0.0/16'), ipv6: network('fd00::/16') },
    };
    const sets = new LeaseSetBuilder(conf).build(new Map([[record.name, record]]), '\0another', {});
    for (const family of FAMILIES) for (const lease of sets[family]?.peers ?? []) checkLease(lease, family);
  },
};

function kubernetesNodeOf(...podCIDRs: string[]): string {
  const prefix = 'flannel.alpha.coreos.com/';
  return JSON.stringify({
    metadata: {
      ...{ name: 'node-7', uid: 'u', creationTimestamp: '2026-01-01T00:00:00Z' },
      annotations: {
        [`${prefix}kube-subnet-manager`]: 'true',
        [`${prefix}backend-type`]: 'vxlan',
        [`${prefix}public-ip`]: '192.168.77.7',
        [`${prefix}public-ipv6`]: 'fd01::7',
        [`${prefix}backend-data`]: '{"VNI":1,"VtepMAC":"02:00:00:00:00:07"}',
        [`${prefix}backend-v6-data`]: '{"VNI":1,"VtepMAC":"02:00:00:00:01:07"}',
      },
    },
    spec: { podCIDR: podCIDRs[0], podCIDRs },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  });
}

/** Returns the parsed JSON; undefined for other text, which the client library refuses. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const etcdValue: Parser = {
  name: 'etcd-value',
  json: true,
  seeds: [
    '{"PublicIP":"192.168.77.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:0a"}}',
    '{"PublicIP":"192.168.77.1","PublicIPv6":"fd01::1","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:0a"},"BackendV6Data":{"VNI":1,"VtepMAC":"02:00:00:00:01:0a"}}',
    '{"PublicIP":"192.168.77.1","PublicIPv6":null}',
  ],
  check(text) {
    const value = parseLeaseValue('/coreos.com/network/subnets/10.244.1.0-24', text);
    if (value.backendType !== 'vxlan' || valuesOf(value.problems).some(Boolean)) return;
    const subnets = { ipv4: parseCidr('10.244.1.0/24', 'ipv4'), ipv6: parseCidr('fd00::/64', 'ipv6') };
    const lease = (family: Family): Lease => ({
      subnet: subnets[family] as Lease['subnet'],
      publicIp: value.publicIps[family] as Lease['publicIp'],
      vtepMac: parseVtepMac(value.vtepMacs[family] ?? ''),
    });
    const leases = { ipv4: lease('ipv4'), ipv6: lease('ipv6') };
    for (const family of FAMILIES) checkLease(leases[family], family);
    const again = formatLeaseValue(leases, VXLAN);
    const { problems, ...same } = parseLeaseValue('again', again);
    equal(JSON.stringify(valuesOf(problems).filter(Boolean)), '[]', 'the problems');
    equal(formatIp(same.publicIps.ipv4), formatIp(value.publicIps.ipv4), 'the address');
  },
};

const etcdKey: Parser = {
  name: 'etcd-key',
  json: false,
  seeds: ['10.5.1.0-24', '10.5.1.0-24&fd00:12:13::-56', '0.0.0.0-0', '255.255.255.255-32'],
  check(text) {
    const key = parseSubnetKey(text);
    if (key === undefined) return;
    const again = parseSubnetKey(formatSubnetKey(key));
    equal(again && formatSubnetKey(again), formatSubnetKey(key), 'the key');
  },
};

const subnetEnv: Parser = {
  name: 'subnet-env',
  json: false,
  seeds: [
    'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n',
    'FLANNEL_NETWORK="10.244.0.0/16"\nexport FLANNEL_SUBNET=10.244.1.1/24 # node\nFLANNEL_IPV6_NETWORK=fd00::/48\nFLANNEL_IPV6_SUBNET=fd00:0:0:1::1/64\n',
  ],
  async check(text) {
    writeFileSync(FILE, text);
    const found = await readSubnetEnv(FILE);
    const networks = perFamily(FAMILIES, (family) => {
      const { network, subnet } = found[family] ?? {};
      return network && subnet ? { network, subnet } : undefined;
    });
    // flannel writes the first host address, which the last subnet of all does not have.
    if (valuesOf(networks).some(({ subnet }) => subnet.prefixLength >= 32)) return;
    const env = formatSubnetEnv({ networks, mtu: 1450, ipMasq: true });
    writeFileSync(FILE, env);
    const again = await readSubnetEnv(FILE);
    for (const family of FAMILIES) {
      const pair = networks[family];
      if (pair === undefined) continue;
      equal(formatCidr(again[family]?.network ?? pair.subnet), formatCidr(pair.network), 'the network');
    }
  },
};

const kubeconfig: Parser = {
  name: 'kubeconfig',
  json: false,
  seeds: [
    `apiVersion: v1
kind: Config
current-context: here
contexts:
- name: here
  context: {cluster: main, user: weft}
clusters:
- name: main
  cluster:
    server: https://192.0.2.1:6443
    insecure-skip-tls-verify: true
users:
- name: weft
  user:
    token: abc
`,
    JSON.stringify({
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'here' },
      contexts: [{ name: 'here', context: { cluster: 'main', user: 'weft' } }],
      clusters: [{ name: 'main', cluster: { server: 'http://192.0.2.1:8080', 'tls-server-name': 'a' } }],
      users: [{ name: 'weft', user: { username: 'a', password: 'b' } }],
    }),
    'a: &a [1, 2]\nb: *a\nc: !!binary aGVsbG8=\n? [x]\n: y\n--- \nd: |\n  text\n',
  ],
  async check(text) {
    writeFileSync(FILE, text);
    await loadAccess({ ...KUBERNETES, kubeconfigFile: FILE }, '');
  },
};

export const LEASE_PARSERS = [leaseFile, netConf, kubernetesNode, etcdValue, etcdKey, subnetEnv, kubeconfig];
