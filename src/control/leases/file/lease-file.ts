/**
 * Leases as JSON text, in flannel's own fields (pkg/lease/lease.go), so that one jq filter converts an etcd dump. The file
 * is checked as a whole: with two nodes that claim one address, packets would reach the wrong node.
 */

import { type Cidr, formatCidr, lastOf, parseCidr } from '../../addresses/cidr.js';
import {
  bitsOf,
  type Family,
  familyName,
  mapFamilies,
  type PerFamily,
  perFamily,
} from '../../addresses/family.js';
import { familyOf, formatIp, type Ip, isNodeAddress, parseIp } from '../../addresses/ip.js';
import { parseVtepMac } from '../../addresses/mac.js';
import { JsonFile, type JsonObject } from '../../support/json-file.js';
import { LARGE_FILE } from '../../support/read-file.js';
import type { Lease } from '../lease.js';
import { deriveVtepMac } from '../vtep-mac.js';

export const FLAG = '--lease-file';

interface FileLeases {
  /** The leases of each requested family, in the order of the file. */
  leases: PerFamily<Lease[]>;
  /** flannel's log line for each lease of another backend type. */
  ignored: string[];
}

/** The keys of one family in a lease, and examples of their values. */
interface FamilyFields {
  subnet: string;
  publicIp: string;
  data: string;
  examples: { subnet: string; address: string };
}

const FIELDS: Record<Family, FamilyFields> = {
  ipv4: {
    subnet: 'Subnet',
    publicIp: 'PublicIP',
    data: 'BackendData',
    examples: { subnet: '10.244.1.0/24', address: '192.168.77.1' },
  },
  ipv6: {
    subnet: 'IPv6Subnet',
    publicIp: 'PublicIPv6',
    data: 'BackendV6Data',
    examples: { subnet: 'fd00:244:1::/64', address: 'fd00:77::1' },
  },
};

/** flannel's text for the subnet of a family that a lease does not have. */
const NO_SUBNET = ['', '0.0.0.0/0', '::/0'];

/** One family of a lease in the file. */
interface Entry {
  object: JsonObject;
  /** Position in the file. */
  index: number;
  subnet: Cidr;
  publicIp: Ip;
}

/**
 * Reads and checks the leases of these families. `vni` is that of a vxlan cluster; without it, for backend udp, leases of
 * every backend type count by their subnets and addresses, as in flannel. In a cluster with both families a lease may have
 * one of them only. @throws UserError naming file, line, value and remedy
 */
export async function readLeaseFile(
  path: string,
  vni: number | undefined,
  families: readonly Family[],
): Promise<FileLeases> {
  const file = await JsonFile.read(FLAG, path, LARGE_FILE);
  const objects = file.root.objects('leases');
  if (objects === undefined) throw file.root.error('leases', 'write { "leases": [ ... ] }');
  const entries = perFamily(families, (family) => readEntries(objects, family, families));
  const others = new Set(vni === undefined ? [] : objects.filter((object) => !isVxlan(object)));
  return {
    leases: mapFamilies(entries, (list, family) =>
      leasesOf(
        list.filter(({ object }) => !others.has(object)),
        FIELDS[family],
        vni,
      ),
    ),
    ignored: [...others].map((object) => describeOther(object, families)),
  };
}

/** Reads one family of all leases, of any backend type. */
function readEntries(objects: readonly JsonObject[], family: Family, families: readonly Family[]): Entry[] {
  const fields = FIELDS[family];
  const entries = objects.flatMap((object, index) =>
    hasFamily(object, family, families)
      ? [{ object, index, subnet: readSubnet(object, family), publicIp: readPublicIp(object, family) }]
      : [],
  );
  refuseSharedSubnets(entries, fields);
  refuseDuplicates(entries, fields.publicIp, ({ publicIp }) =>
    // A small integer of V8: the hash of any other number is slow.
    typeof publicIp === 'number' ? publicIp | 0 : publicIp,
  );
  return entries;
}

/**
 * Returns whether the lease has the family. Of two families it must have one: without either, the first is required.
 */
function hasFamily(object: JsonObject, family: Family, families: readonly Family[]): boolean {
  const has = (one: Family): boolean => !NO_SUBNET.includes(object.string(FIELDS[one].subnet) ?? '');
  return families.length === 1 || has(family) || (family === families[0] && !families.some(has));
}

function isVxlan(object: JsonObject): boolean {
  return ['', 'vxlan'].includes(object.string('BackendType') ?? '');
}

function describeOther(object: JsonObject, families: readonly Family[]): string {
  const subnets = families
    .map((family) => ({ family, text: object.string(FIELDS[family].subnet) ?? '' }))
    .filter(({ text }) => !NO_SUBNET.includes(text))
    .map(({ family, text }) => `${family === 'ipv4' ? 'v4Subnet' : 'v6Subnet'}(${text})`);
  return `ignoring non-vxlan ${subnets.join(' ')}: type=${object.string('BackendType')}`;
}

/** Returns the entries as leases, with vxlan each with a MAC. */
function leasesOf(entries: readonly Entry[], { data }: FamilyFields, vni: number | undefined): Lease[] {
  const leases = entries.map(({ object, subnet, publicIp }) => ({
    object,
    subnet,
    publicIp,
    vtepMac:
      vni === undefined ? undefined : (readVtepMac(object, data) ?? deriveVtepMac(vni, formatIp(publicIp))),
  }));
  refuseDuplicates(leases, `${data}.VtepMAC`, ({ vtepMac }) => vtepMac);
  return leases.map(({ subnet, publicIp, vtepMac }) => ({ subnet, publicIp, vtepMac }));
}

function readSubnet(object: JsonObject, family: Family): Cidr {
  const { subnet: key, examples } = FIELDS[family];
  const text = object.string(key);
  if (text === undefined) throw object.error(key, `write the node's pod subnet, like "${examples.subnet}"`);
  const subnet = parseCidr(text);
  if (subnet === undefined || familyOf(subnet.base) !== family) {
    throw object.error(key, wrongFamily(subnet?.base ?? parseIp(text), family, 'subnet', examples.subnet));
  }
  const { base, prefixLength } = subnet;
  const longest = bitsOf(family) - 1;
  if (prefixLength < 1 || prefixLength > longest) {
    throw object.error(key, `the prefix length must be from 1 to ${longest}`);
  }
  // Canonical text has no host bits; parsing it again would cost more.
  if (text !== formatCidr(subnet) && parseIp(text.slice(0, text.indexOf('/'))) !== base) {
    throw object.error(key, `host bits are set; the subnet is "${formatCidr(subnet)}"`);
  }
  return subnet;
}

function readPublicIp(object: JsonObject, family: Family): Ip {
  const { publicIp: key, examples } = FIELDS[family];
  const text = object.string(key);
  if (text === undefined) {
    throw object.error(key, `write the node's underlay address, like "${examples.address}"`);
  }
  const address = parseIp(text);
  if (address === undefined || familyOf(address) !== family) {
    throw object.error(key, wrongFamily(address ?? parseCidr(text)?.base, family, 'address'));
  }
  if (!isNodeAddress(address)) throw object.error(key, 'no node can have this address; write a unicast one');
  return address;
}

/** Returns what is wrong with a text that is not of the family; `found` is its address in the other family, if any. */
function wrongFamily(found: Ip | undefined, family: Family, what: string, example?: string): string {
  const name = familyName(family);
  if (found !== undefined && familyOf(found) !== family) {
    return `this is ${familyName(familyOf(found))}; write an ${name} ${what}`;
  }
  return `not an ${name} ${what}${example === undefined ? '' : `, like "${example}"`}`;
}

function readVtepMac(object: JsonObject, key: string): string | undefined {
  const data = object.object(key);
  const text = data?.string('VtepMAC');
  if (data === undefined || text === undefined || text === '') return undefined;
  const mac = parseVtepMac(text);
  if (mac === undefined) throw data.error('VtepMAC', 'not a unicast MAC address, like "02:00:00:00:00:01"');
  return mac;
}

/** Rejects two subnets that overlap, and a public IP inside a subnet. */
function refuseSharedSubnets(entries: readonly Entry[], { subnet: key, publicIp }: FamilyFields): void {
  const sorted = [...entries].sort(
    (a, b) => compare(a.subnet.base, b.subnet.base) || a.subnet.prefixLength - b.subnet.prefixLength,
  );
  sorted.forEach((entry, position) => {
    const previous = position === 0 ? undefined : sorted[position - 1];
    if (previous === undefined || lastOf(previous.subnet) < entry.subnet.base) return;
    const [first, second] = previous.index < entry.index ? [previous, entry] : [entry, previous];
    throw second.object.error(
      key,
      `it overlaps ${formatCidr(first.subnet)} of ${first.object.path}; every node needs its own`,
    );
  });
  for (const entry of entries) {
    const around = findLast(sorted, (candidate) => candidate.subnet.base <= entry.publicIp);
    if (around === undefined || lastOf(around.subnet) < entry.publicIp) continue;
    throw entry.object.error(
      publicIp,
      `it lies inside ${around.object.path}.${key} ${formatCidr(around.subnet)}; the tunnel would carry its own packets`,
    );
  }
}

function compare(a: Ip, b: Ip): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Rejects a value that two entries have; undefined is not compared. */
function refuseDuplicates<T extends { object: JsonObject }>(
  entries: readonly T[],
  key: string,
  valueOf: (entry: T) => Ip | string | undefined,
): void {
  const seen = new Map<Ip | string, T>();
  for (const entry of entries) {
    const value = valueOf(entry);
    if (value === undefined) continue;
    const first = seen.get(value);
    if (first !== undefined) {
      throw entry.object.file.error(
        `${entry.object.path}.${key}`,
        typeof value === 'string' ? value : formatIp(value),
        `${first.object.path} has it too; every node needs its own`,
      );
    }
    seen.set(value, entry);
  }
}

/** Returns the last element of a sorted array for which `holds`; it holds up to some element and for none after it. */
function findLast<T>(sorted: readonly T[], holds: (element: T) => boolean): T | undefined {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const element = sorted[middle];
    if (element !== undefined && holds(element)) low = middle + 1;
    else high = middle;
  }
  return sorted[low - 1];
}
