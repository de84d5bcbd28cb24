/**
 * Reads and checks flannel's network configuration (net-conf.json). Weft also refuses a VNI, Port or MTU out of range, which
 * flannel accepts; docs/decisions/0004-net-conf.md lists the differences.
 */

import { type Cidr, parseCidr } from '../addresses/cidr.js';
import { FAMILIES, type Family, familyName, type PerFamily, perFamily } from '../addresses/family.js';
import { familyOf, parseIp } from '../addresses/ip.js';
import { JsonFile, JsonObject } from '../support/json-file.js';
import { RANGE_RULES, readSubnetRange, type SubnetRange } from './subnet-range.js';

export const FLAG = '--net-config-path';

/** flannel's defaults: for vxlan the port of Linux's driver, which is older than IANA's 4789. */
const DEFAULT_PORT = { vxlan: 8472, udp: 8285 };
const DEFAULT_VNI = 1;
/** A VNI has 24 bits (RFC 7348, 5). */
export const MAX_VNI = 2 ** 24 - 1;
/** A device name has at most IFNAMSIZ - 1 = 15 characters (linux/if.h). */
const MAX_NAME = 15;
/** Bytes of the outer headers: IPv4 and UDP; with vxlan also VXLAN and the inner Ethernet header. */
export const OVERHEAD = { vxlan: 20 + 8 + 8 + 14, udp: 20 + 8 };
/** The overhead of vxlan over IPv6, whose header has 40 bytes instead of 20. */
export const OVERHEAD6 = OVERHEAD.vxlan + 20;
/** The least MTU of the overlay: ETH_MIN_MTU (linux/if_ether.h). */
const MIN_MTU = 68;
const MAX_OUTER_MTU = 65535;

/** flannel's other backends. */
const OTHER_BACKENDS = ['host-gw', 'ipip', 'ipsec', 'wireguard', 'alloc', 'extension', 'tencent-vpc'];

/** Keys that only vxlan has. */
const VXLAN_KEYS = ['VNI', 'Learning', 'DirectRouting', 'GBP'];

/** How to correct the key of each family's network. */
const NETWORK_REMEDY: Record<Family, string> = {
  ipv4: 'set it to the pod network of the cluster, like "10.244.0.0/16"',
  ipv6: 'set it to the IPv6 pod network of the cluster, like "fd00:10:244::/56", or set EnableIPv6 to false',
};

export interface NetConf {
  /** Where it was read: a path, or a key in etcd. */
  origin: string;
  /** The pod network of each family that is enabled. */
  networks: PerFamily<PodNetwork>;
  /** Whether the firewall rules are in nftables; otherwise in iptables. */
  nftables: boolean;
  backend: BackendConf;
  /** One log line for each setting that this version ignores. */
  ignored: string[];
}

/** The pod network of one family. */
export interface PodNetwork {
  network: Cidr;
  /** The subnets that nodes may have; undefined where another program assigns them, as Kubernetes does. */
  subnets: SubnetRange | undefined;
}

export type BackendConf = VxlanConf | UdpConf;

export interface VxlanConf extends CommonConf {
  type: 'vxlan';
  vni: number;
  learning: boolean;
  /** Whether peers on a network of this node are reached without the tunnel. */
  directRouting: boolean;
  /** Whether group policies are enabled. Weft accepts them and sends group 0. */
  gbp: boolean;
}

export interface UdpConf extends CommonConf {
  type: 'udp';
}

/** The configuration of `"Backend": { "Type": "udp" }`. */
export const PLAIN_UDP: UdpConf = { type: 'udp', port: DEFAULT_PORT.udp, outerMtu: undefined };

interface CommonConf {
  port: number;
  /** Configured MTU of the underlay; undefined uses the interface's MTU. */
  outerMtu: number | undefined;
}

/** Reads and checks the file. @throws UserError naming file, line, value and remedy */
export async function readNetConf(path: string): Promise<NetConf> {
  return netConfOf(await JsonFile.read(FLAG, path));
}

/**
 * Checks a network configuration that has been read. `ranges` also reads SubnetLen, SubnetMin and SubnetMax, which are
 * ignored where another program assigns the subnets. @throws UserError naming file, line, value and remedy
 */
export function netConfOf({ root, path }: JsonFile, { ranges } = { ranges: true }): NetConf {
  const ignored: string[] = [];
  const enabled: Record<Family, boolean> = {
    ipv4: root.boolean('EnableIPv4') ?? true,
    ipv6: root.boolean('EnableIPv6') ?? false,
  };
  const backend = readBackend(root, ignored);
  if (enabled.ipv6) refuseForIpv6(root, backend, ignored);
  const networks = perFamily(
    FAMILIES.filter((family) => enabled[family]),
    (family): PodNetwork => {
      const network = readNetwork(root, family);
      return { network, subnets: ranges ? readSubnetRange(root, network) : undefined };
    },
  );
  return { origin: path, networks, nftables: root.boolean('EnableNFTables') ?? false, backend, ignored };
}

/** Returns the name of the vxlan device that carries a family. */
export function vxlanDevice(vni: number, family: Family): string {
  return family === 'ipv4' ? `flannel.${vni}` : `flannel-v6.${vni}`;
}

/** @throws UserError when the backend cannot carry IPv6 */
function refuseForIpv6(root: JsonObject, backend: BackendConf, ignored: string[]): void {
  if (backend.type === 'udp') {
    throw root.error(
      'EnableIPv6',
      'backend type udp supports IPv4 only; set it to false, or set Type to "vxlan"',
    );
  }
  const object = root.object('Backend');
  if (object === undefined) return;
  refuseLongName(object, backend.vni, 'ipv6');
  if (backend.learning) {
    ignored.push(
      `${object.pathOf('Learning')}: learning works over IPv4 only; every IPv6 peer needs a lease`,
    );
  }
}

function refuseLongName(backend: JsonObject, vni: number, family: Family): void {
  const name = vxlanDevice(vni, family);
  if (name.length <= MAX_NAME) return;
  const digits = MAX_NAME - (name.length - String(vni).length);
  throw backend.error(
    'VNI',
    `${name} is too long for a device name in Linux; use a VNI up to ${'9'.repeat(digits)}`,
  );
}

function readNetwork(root: JsonObject, family: Family): Cidr {
  const { network: key } = RANGE_RULES[family];
  const text = root.string(key) ?? '';
  const fail = (what: string): Error => root.error(key, `${what}; ${NETWORK_REMEDY[family]}`);
  if (text === '') throw fail(`please define a correct ${key} parameter in the flannel config`);
  const network = parseCidr(text);
  const address = network?.base ?? parseIp(text);
  const found = address === undefined ? family : familyOf(address);
  if (found !== family)
    throw fail(`an ${familyName(found)} network belongs in ${RANGE_RULES[found].network}`);
  if (network === undefined) throw fail(`not an ${familyName(family)} network`);
  if (network.prefixLength === 0) throw fail(`the pod network cannot be all of ${familyName(family)}`);
  return network;
}

/** Reads `Backend`. Without it, flannel's code uses udp and its documentation says vxlan; Weft uses vxlan. */
function readBackend(root: JsonObject, ignored: string[]): BackendConf {
  const backend = root.object('Backend');
  if (backend === undefined) return readVxlan(new JsonObject(root.file, 'Backend', {}), ignored);
  const type = (backend.string('Type') ?? '').toLowerCase();
  if (type === 'vxlan') return readVxlan(backend, ignored);
  if (type === 'udp') return readUdp(backend, ignored);
  const what = OTHER_BACKENDS.includes(type)
    ? 'this version of Weft does not support this backend type of flannel'
    : 'unknown backend type';
  throw backend.error('Type', `${what}; write "vxlan" or "udp"`);
}

function readVxlan(backend: JsonObject, ignored: string[]): VxlanConf {
  const vni = backend.integer('VNI', 0, MAX_VNI) ?? DEFAULT_VNI;
  refuseLongName(backend, vni, 'ipv4');
  const gbp = backend.boolean('GBP') ?? false;
  if (gbp) {
    ignored.push(
      `${backend.pathOf('GBP')}: packets are sent without a group policy; received ones are accepted`,
    );
  }
  return {
    type: 'vxlan',
    vni,
    ...readCommon(backend, 'vxlan'),
    learning: backend.boolean('Learning') ?? false,
    directRouting: backend.boolean('DirectRouting') ?? false,
    gbp,
  };
}

function readUdp(backend: JsonObject, ignored: string[]): UdpConf {
  for (const key of VXLAN_KEYS) {
    if (backend.get(key) === undefined) continue;
    ignored.push(`${backend.pathOf(key)}: backend type udp ignores this setting of vxlan`);
  }
  return { type: 'udp', ...readCommon(backend, 'udp') };
}

function readCommon(backend: JsonObject, type: BackendConf['type']): CommonConf {
  const port = backend.integer('Port', 0, 65535);
  const outerMtu = backend.integer('MTU', 0, MAX_OUTER_MTU) ?? 0;
  const least = MIN_MTU + OVERHEAD[type];
  if (outerMtu !== 0 && outerMtu < least) {
    throw backend.error(
      'MTU',
      `the MTU of the underlay must be from ${least} to ${MAX_OUTER_MTU}; leave it out to use the interface's MTU`,
    );
  }
  return { port: port || DEFAULT_PORT[type], outerMtu: outerMtu || undefined };
}
