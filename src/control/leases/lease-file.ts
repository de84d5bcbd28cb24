/**
 * Leases as JSON text, in flannel's own fields (pkg/lease/lease.go), so that an etcd dump is one jq away. Checked as a
 * whole: a set in which two nodes claim the same thing would send packets to the wrong one.
 */

import { JsonFile, type JsonObject } from '../config/json-file.js';
import {
  type Cidr,
  formatCidr,
  formatIpv4,
  type Ipv4,
  isIpv6,
  isNodeAddress,
  lastAddress,
  networkOf,
  parseCidr,
  parseIpv4,
} from '../ipv4.js';
import { parseVtepMac } from '../mac.js';
import type { Lease } from './lease.js';
import { deriveVtepMac } from './vtep-mac.js';

export const FLAG = '--lease-file';

interface LeaseSet {
  leases: Lease[];
  /** A sentence for each lease that is not Weft's, by its backend type. */
  ignored: string[];
}

interface Entry {
  object: JsonObject;
  subnet: Cidr;
  publicIp: Ipv4;
}

/**
 * Reads and checks a lease file for a vxlan cluster with this VNI or, without one, for backend udp: there, as in flannel,
 * the subnets and addresses count, whatever backend they were published by. @throws UserError naming file, line, value
 * and remedy
 */
export async function readLeaseFile(path: string, vni: number | undefined): Promise<LeaseSet> {
  const file = await JsonFile.read(FLAG, path);
  const objects = file.root.objects('leases');
  if (objects === undefined) throw file.root.error('leases', 'write { "leases": [ ... ] }');
  const entries = objects.map((object) => ({
    object,
    subnet: readSubnet(object),
    publicIp: readPublicIp(object),
  }));
  refuseSharedSubnets(entries);
  refuseDuplicates(entries, 'PublicIP', (entry) => formatIpv4(entry.publicIp));
  if (vni !== undefined) return vxlanLeases(entries, vni);
  const leases = entries.map(({ subnet, publicIp }) => ({ subnet, publicIp, vtepMac: undefined }));
  return { leases, ignored: [] };
}

/** The leases of backend type vxlan, each with its MAC. */
function vxlanLeases(entries: readonly Entry[], vni: number): LeaseSet {
  const leases: Lease[] = [];
  const ignored: string[] = [];
  const byMac: (Entry & { mac: string })[] = [];
  for (const entry of entries) {
    const type = entry.object.string('BackendType') ?? '';
    if (type !== '' && type !== 'vxlan') {
      ignored.push(`ignoring non-vxlan v4Subnet(${formatCidr(entry.subnet)}): type=${type}`);
      continue;
    }
    const mac = readVtepMac(entry.object) ?? deriveVtepMac(vni, formatIpv4(entry.publicIp));
    byMac.push({ ...entry, mac });
    leases.push({ subnet: entry.subnet, publicIp: entry.publicIp, vtepMac: mac });
  }
  refuseDuplicates(byMac, 'BackendData.VtepMAC', (entry) => (entry as Entry & { mac: string }).mac);
  return { leases, ignored };
}

function readSubnet(object: JsonObject): Cidr {
  const text = object.string('Subnet');
  if (text === undefined) throw object.error('Subnet', 'write the node\'s pod subnet, like "10.244.1.0/24"');
  const parsed = parseCidr(text);
  if (parsed === undefined) {
    throw object.error(
      'Subnet',
      isIpv6(text) ? 'this is IPv6; write an IPv4 subnet' : 'no IPv4 subnet, like "10.244.1.0/24"',
    );
  }
  const { address, prefix } = parsed;
  if (prefix < 1 || prefix > 31) throw object.error('Subnet', 'the prefix length must be from 1 to 31');
  const base = networkOf(address, prefix);
  if (base !== address) {
    throw object.error('Subnet', `host bits are set; the subnet is "${formatCidr({ base, prefix })}"`);
  }
  return { base, prefix };
}

function readPublicIp(object: JsonObject): Ipv4 {
  const text = object.string('PublicIP');
  if (text === undefined)
    throw object.error('PublicIP', 'write the node\'s underlay address, like "192.168.77.1"');
  const address = parseIpv4(text);
  if (address === undefined) {
    throw object.error('PublicIP', isIpv6(text) ? 'this is IPv6; write an IPv4 address' : 'no IPv4 address');
  }
  if (!isNodeAddress(address))
    throw object.error('PublicIP', 'no node can have this address; write a unicast one');
  return address;
}

function readVtepMac(object: JsonObject): string | undefined {
  const data = object.object('BackendData');
  const text = data?.string('VtepMAC');
  if (data === undefined || text === undefined || text === '') return undefined;
  const mac = parseVtepMac(text);
  if (mac === undefined) throw data.error('VtepMAC', 'no unicast MAC address, like "02:00:00:00:00:01"');
  return mac;
}

/** Two leases may share no address of their subnets, and no node may live inside one. */
function refuseSharedSubnets(entries: readonly Entry[]): void {
  const sorted = [...entries].sort(
    (a, b) => a.subnet.base - b.subnet.base || a.subnet.prefix - b.subnet.prefix,
  );
  sorted.forEach((entry, index) => {
    const previous = sorted[index - 1];
    if (previous === undefined || lastAddress(previous.subnet) < entry.subnet.base) return;
    const [first, second] = order(previous, entry);
    throw second.object.error(
      'Subnet',
      `${first.object.path} has ${formatCidr(first.subnet)}, which it overlaps; every node needs its own`,
    );
  });
  for (const entry of entries) {
    const around = findLast(sorted, (candidate) => candidate.subnet.base <= entry.publicIp);
    if (around === undefined || lastAddress(around.subnet) < entry.publicIp) continue;
    throw entry.object.error(
      'PublicIP',
      `it lies inside ${around.object.path}.Subnet ${formatCidr(around.subnet)}; the tunnel would carry itself`,
    );
  }
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
