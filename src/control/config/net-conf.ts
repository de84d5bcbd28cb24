/**
 * flannel's network configuration (net-conf.json), checked. Where flannel accepts nonsense (VNI, Port and MTU without
 * a range), Weft refuses it; docs/decisions/0004-net-conf.md lists the differences.
 */

import { VXLAN_MAX_VNI } from '../../dataplane/wire/vxlan.js';
import { type Cidr, isIpv6, networkOf, parseCidr } from '../ipv4.js';
import { JsonFile, type JsonObject } from './json-file.js';
import { checkSubnetRange } from './subnet-range.js';

export const FLAG = '--net-config-path';

/** The default of Linux's vxlan driver, and so of flannel; IANA's 4789 came later. */
const DEFAULT_PORT = 8472;
const DEFAULT_VNI = 1;
/** `flannel.<VNI>` has to fit into IFNAMSIZ - 1 = 15 characters (linux/if.h). */
const MAX_NAMED_VNI = 9_999_999;
/** Outer IPv4, UDP, VXLAN and inner Ethernet header. */
export const VXLAN_OVERHEAD = 50;
/** The overlay's MTU may not be below ETH_MIN_MTU (linux/if_ether.h), 68. */
const MIN_OUTER_MTU = 68 + VXLAN_OVERHEAD;
const MAX_OUTER_MTU = 65535;

const FLANNEL_BACKENDS = new Set([
  'vxlan',
  'udp',
  'host-gw',
  'ipip',
  'ipsec',
  'wireguard',
  'alloc',
  'extension',
  'tencent-vpc',
]);

export interface NetConf {
  network: Cidr;
  backend: VxlanBackend;
  /** What the file asks for and this version does not do, a sentence each. */
  ignored: string[];
}

export interface VxlanBackend {
  type: 'vxlan';
  vni: number;
  port: number;
  /** MTU of the underlay as configured; undefined for the interface's own. */
  outerMtu: number | undefined;
  learning: boolean;
}

/** Reads and checks the file. @throws UserError naming file, line, value and remedy */
export async function readNetConf(path: string): Promise<NetConf> {
  const file = await JsonFile.read(FLAG, path);
  const root = file.root;
  if (root.boolean('EnableIPv4') === false) {
    throw root.error('EnableIPv4', 'this version of Weft carries IPv4 clusters only; set it to true');
  }
  const network = readNetwork(root);
  checkSubnetRange(root, network);
  const ignored: string[] = [];
  if (root.boolean('EnableIPv6') === true) {
    ignored.push(`${root.pathOf('EnableIPv6')}: IPv6 leases are not carried; pods get IPv4 only`);
  }
  return { network, backend: readBackend(root.object('Backend'), ignored), ignored };
}

function readNetwork(root: JsonObject): Cidr {
  const text = root.string('Network');
  const remedy = 'set it to the pod network of the cluster, like "10.244.0.0/16"';
  if (text === undefined || text === '') throw root.error('Network', remedy);
  const parsed = parseCidr(text);
  if (parsed === undefined) {
    throw root.error(
      'Network',
      isIpv6(text) ? `IPv6 belongs into IPv6Network; ${remedy}` : `no IPv4 network; ${remedy}`,
    );
  }
  if (parsed.prefix === 0) throw root.error('Network', `it cannot be the whole of IPv4; ${remedy}`);
  return { base: networkOf(parsed.address, parsed.prefix), prefix: parsed.prefix };
}

/** Without `Backend`, flannel's code says udp and its documentation vxlan; Weft does what is documented. */
function readBackend(backend: JsonObject | undefined, ignored: string[]): VxlanBackend {
  if (backend === undefined) {
    return { type: 'vxlan', vni: DEFAULT_VNI, port: DEFAULT_PORT, outerMtu: undefined, learning: false };
  }
  const type = (backend.string('Type') ?? '').toLowerCase();
  if (!FLANNEL_BACKENDS.has(type)) {
    throw backend.error('Type', 'unknown backend type; write "vxlan"');
  }
  if (type !== 'vxlan') {
    throw backend.error('Type', 'flannel has this backend type, this version of Weft has not; write "vxlan"');
  }
  const vni = backend.integer('VNI', 0, VXLAN_MAX_VNI) ?? DEFAULT_VNI;
  if (vni > MAX_NAMED_VNI) {
    throw backend.error(
      'VNI',
      `Linux allows no device name as long as flannel.${vni}; use one up to ${MAX_NAMED_VNI}`,
    );
  }
  const port = backend.integer('Port', 0, 65535) ?? 0;
  const outerMtu = backend.integer('MTU', 0, MAX_OUTER_MTU) ?? 0;
  if (outerMtu !== 0 && outerMtu < MIN_OUTER_MTU) {
    throw backend.error(
      'MTU',
      `it is the MTU of the underlay, from ${MIN_OUTER_MTU} to ${MAX_OUTER_MTU}; leave it out for the interface's own`,
    );
  }
  if (backend.boolean('DirectRouting') === true) {
    ignored.push(
      `${backend.pathOf('DirectRouting')}: peers on the same network are reached through the tunnel too`,
    );
  }
  if (backend.boolean('GBP') === true) {
    ignored.push(`${backend.pathOf('GBP')}: group policies are not sent; they are accepted on receipt`);
  }
  return {
    type: 'vxlan',
    vni,
    port: port === 0 ? DEFAULT_PORT : port,
    outerMtu: outerMtu === 0 ? undefined : outerMtu,
    learning: backend.boolean('Learning') ?? false,
  };
}
