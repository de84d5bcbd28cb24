/**
 * Leases as JSON text, in flannel's own fields (pkg/lease/lease.go), so that an etcd dump is one jq away. Checked as a
 * whole: a set in which two nodes claim the same thing would send packets to the wrong one.
 */

import {
  bitsOf,
  type Family,
  familyName,
  familyOf,
  formatIp,
  formatSubnet,
  type Ip,
  isPublic,
  lastOf,
  parseIp,
  parseSubnet,
  type Subnet,
} from '../../addresses/address.js';
import type { Ipv4 } from '../../addresses/ipv4.js';
import type { Ipv6 } from '../../addresses/ipv6.js';
import { parseVtepMac } from '../../addresses/mac.js';
import { JsonFile, type JsonObject } from '../../support/json-file.js';
import type { Lease } from '../lease.js';
import { deriveVtepMac } from '../vtep-mac.js';

export const FLAG = '--lease-file';

interface FileLeases {
  /** In the order of the file; none of a family that was not asked for. */
  ipv4: Lease<Ipv4>[];
  ipv6: Lease<Ipv6>[];
  /** A sentence for each lease that is not Weft's, by its backend type. */
  ignored: string[];
}

/** Where a lease has its half of one family, and what that looks like. */
interface HalfFields {
  family: Family;
  subnet: string;
  publicIp: string;
  data: string;
  examples: { subnet: string; address: string };
}

const HALVES: Record<Family, HalfFields> = {
  ipv4: {
    family: 'ipv4',
    subnet: 'Subnet',
    publicIp: 'PublicIP',
    data: 'BackendData',
    examples: { subnet: '10.244.1.0/24', address: '192.168.77.1' },
  },
  ipv6: {
    family: 'ipv6',
    subnet: 'IPv6Subnet',
    publicIp: 'PublicIPv6',
    data: 'BackendV6Data',
    examples: { subnet: 'fd00:244:1::/64', address: 'fd00:77::1' },
  },
};

/** How flannel writes the subnet of a family that a lease has not. */
const NO_SUBNET = ['', '0.0.0.0/0', '::/0'];

interface Entry<A extends Ip = Ip> {
  object: JsonObject;
  subnet: Subnet<A>;
  publicIp: A;
}

/**
 * Reads and checks a lease file for these families of a vxlan cluster with this VNI or, without one, for backend udp: there,
 * as in flannel, the subnets and addresses count, whatever backend they were published by. In a cluster with both families
 * a lease may have one of them only. @throws UserError naming file, line, value and remedy
 */
export async function readLeaseFile(
  path: string,
  vni: number | undefined,
  families: readonly Family[],
): Promise<FileLeases> {
  const file = await JsonFile.read(FLAG, path);
  const objects = file.root.objects('leases');
  if (objects === undefined) throw file.root.error('leases', 'write { "leases": [ ... ] }');
  const read = (family: Family): Entry[] => {
    if (!families.includes(family)) return [];
    const entries = objects
      .filter((object) => hasHalf(object, family, families))
      .map((object) => readHalf(object, HALVES[family]));
    refuseSharedSubnets(entries, HALVES[family]);
    refuseDuplicates(entries, HALVES[family].publicIp, ({ publicIp }) => formatIp(publicIp));
    return entries;
  };
  const [ipv4, ipv6] = [read('ipv4'), read('ipv6')];
  const others = vni === undefined ? [] : objects.filter((object) => !isVxlan(object));
  const ours = (entries: readonly Entry[]): Entry[] => {
    const left = new Set(others);
    return entries.filter(({ object }) => !left.has(object));
  };
  return {
    ipv4: leasesOf(ours(ipv4), HALVES.ipv4, vni) as Lease<Ipv4>[],
    ipv6: leasesOf(ours(ipv6), HALVES.ipv6, vni) as Lease<Ipv6>[],
    ignored: others.map((object) => describeOther(object, families)),
  };
}

/** A lease must have one of the families; which it is does not matter where there are two. */
function hasHalf(object: JsonObject, family: Family, families: readonly Family[]): boolean {
  const has = (one: Family): boolean => !NO_SUBNET.includes(object.string(HALVES[one].subnet) ?? '');
  // Without any it is the first that is missed.
  return families.length === 1 || has(family) || (family === families[0] && !families.some(has));
}

function isVxlan(object: JsonObject): boolean {
  return ['', 'vxlan'].includes(object.string('BackendType') ?? '');
}

function describeOther(object: JsonObject, families: readonly Family[]): string {
  const subnets = families
    .map((family) => ({ family, text: object.string(HALVES[family].subnet) ?? '' }))
    .filter(({ text }) => !NO_SUBNET.includes(text))
    .map(({ family, text }) => `${family === 'ipv4' ? 'v4Subnet' : 'v6Subnet'}(${text})`);
  return `ignoring non-vxlan ${subnets.join(' ')}: type=${object.string('BackendType')}`;
}

/** The entries as leases, with vxlan each with its MAC. */
function leasesOf(entries: readonly Entry[], fields: HalfFields, vni: number | undefined): Lease<Ip>[] {
  if (vni === undefined)
    return entries.map(({ subnet, publicIp }) => ({ subnet, publicIp, vtepMac: undefined }));
  const macs = new Map(
    entries.map((entry) => [
      entry,
      readVtepMac(entry.object, fields) ?? deriveVtepMac(vni, formatIp(entry.publicIp)),
    ]),
  );
  refuseDuplicates(entries, `${fields.data}.VtepMAC`, (entry) => macs.get(entry) as string);
  return entries.map((entry) => ({
    subnet: entry.subnet,
    publicIp: entry.publicIp,
    vtepMac: macs.get(entry),
  }));
}

function readHalf(object: JsonObject, fields: HalfFields): Entry {
  return { object, subnet: readSubnet(object, fields), publicIp: readPublicIp(object, fields) };
}

function readSubnet(object: JsonObject, { family, subnet: key, examples }: HalfFields): Subnet {
  const text = object.string(key);
  if (text === undefined) throw object.error(key, `write the node's pod subnet, like "${examples.subnet}"`);
  const subnet = parseSubnet(text);
  if (subnet === undefined || familyOf(subnet.base) !== family) {
    throw object.error(key, wrongFamily(subnet?.base ?? parseIp(text), family, 'subnet', examples.subnet));
  }
  const { base, prefix } = subnet;
  const most = bitsOf(base) - 1;
  if (prefix < 1 || prefix > most) throw object.error(key, `the prefix length must be from 1 to ${most}`);
  if (formatIp(base) !== formatIp(parseIp(text.slice(0, text.indexOf('/'))) as Ip)) {
    throw object.error(key, `host bits are set; the subnet is "${formatSubnet(subnet)}"`);
  }
  return subnet;
}

function readPublicIp(object: JsonObject, { family, publicIp: key, examples }: HalfFields): Ip {
  const text = object.string(key);
  if (text === undefined)
    throw object.error(key, `write the node's underlay address, like "${examples.address}"`);
  const address = parseIp(text);
  if (address === undefined || familyOf(address) !== family) {
    throw object.error(key, wrongFamily(address ?? parseSubnet(text)?.base, family, 'address'));
  }
  if (!isPublic(address)) throw object.error(key, 'no node can have this address; write a unicast one');
  return address;
}

/** What is wrong with a text that is no such thing; `found`: what it is of another family. */
function wrongFamily(found: Ip | undefined, family: Family, what: string, example?: string): string {
  const name = familyName(family);
  if (found !== undefined && familyOf(found) !== family) {
    return `this is ${familyName(familyOf(found))}; write an ${name} ${what}`;
  }
  return `no ${name} ${what}${example === undefined ? '' : `, like "${example}"`}`;
}

function readVtepMac(object: JsonObject, { data: key }: HalfFields): string | undefined {
  const data = object.object(key);
  const text = data?.string('VtepMAC');
  if (data === undefined || text === undefined || text === '') return undefined;
  const mac = parseVtepMac(text);
  if (mac === undefined) throw data.error('VtepMAC', 'no unicast MAC address, like "02:00:00:00:00:01"');
  return mac;
}

/** Two leases may share no address of their subnets, and no node may live inside one. */
function refuseSharedSubnets(entries: readonly Entry[], { subnet: key, publicIp }: HalfFields): void {
  const sorted = [...entries].sort(
    (a, b) => compare(a.subnet.base, b.subnet.base) || a.subnet.prefix - b.subnet.prefix,
  );
  sorted.forEach((entry, index) => {
    const previous = sorted[index - 1];
    if (previous === undefined || lastOf(previous.subnet) < entry.subnet.base) return;
    const [first, second] = order(previous, entry);
    throw second.object.error(
      key,
      `${first.object.path} has ${formatSubnet(first.subnet)}, which it overlaps; every node needs its own`,
    );
  });
  for (const entry of entries) {
    const around = findLast(sorted, (candidate) => candidate.subnet.base <= entry.publicIp);
    if (around === undefined || lastOf(around.subnet) < entry.publicIp) continue;
    throw entry.object.error(
      publicIp,
      `it lies inside ${around.object.path}.${key} ${formatSubnet(around.subnet)}; the tunnel would carry itself`,
    );
  }
}

function compare(a: Ip, b: Ip): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function refuseDuplicates(entries: readonly Entry[], key: string, valueOf: (entry: Entry) => string): void {
  const seen = new Map<string, Entry>();
  for (const entry of entries) {
    const value = valueOf(entry);
    const first = seen.get(value);
    if (first !== undefined) {
      throw entry.object.file.error(
        `${entry.object.path}.${key}`,
        value,
        `${first.object.path} has it too; every node needs its own`,
      );
    }
    seen.set(value, entry);
  }
}

/** Two entries in the order of the file. */
function order(a: Entry, b: Entry): [Entry, Entry] {
  const index = (entry: Entry): number => Number(/\d+/.exec(entry.object.path)?.[0]);
  return index(a) < index(b) ? [a, b] : [b, a];
}

/** The last element of a sorted array for which `holds`, which is true up to some element and false from there. */
function findLast<T>(sorted: readonly T[], holds: (element: T) => boolean): T | undefined {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(sorted[middle] as T)) low = middle + 1;
    else high = middle;
  }
  return sorted[low - 1];
}
