/** The leases that this node's Node object defines (pkg/subnet/kube/kube.go, AcquireLease). */

import { type Cidr, contains, formatCidr, parseCidr } from '../../addresses/cidr.js';
import {
  type Family,
  familiesIn,
  familyName,
  mapFamilies,
  type PerFamily,
  valueIn,
} from '../../addresses/family.js';
import { formatIp, type Ip, isNodeAddress, parseIp } from '../../addresses/ip.js';
import { parseVtepMac } from '../../addresses/mac.js';
import type { NetConf } from '../../config/net-conf.js';
import { info, warn } from '../../support/log.js';
import { UserError } from '../../support/user-error.js';
import type { NodeLeases } from '../lease.js';
import type { LeaseRequest } from '../source.js';
import { ownVtepMac } from '../vtep-mac.js';
import { FAMILY_ANNOTATIONS, validVtepMacIn, vtepMacIn } from './annotations.js';
import type { NodeRecord } from './node-record.js';

/** Returns the first pod CIDR of this family; undefined if the node has no such CIDR. */
export function podCidr({ podCidrs }: NodeRecord, family: Family): Cidr | undefined {
  return podCidrs.map((text) => parseCidr(text, family)).find((cidr) => cidr !== undefined);
}

/**
 * Returns the requested leases, with the MACs that `macOf` returns.
 * @throws UserError when this node cannot have one of the leases
 */
export function ownLeasesOf(
  record: NodeRecord,
  { netConf, families }: LeaseRequest,
  macOf: (family: Family) => string | undefined,
): NodeLeases {
  return mapFamilies(families, ({ publicIp: found }, family) => {
    const subnet = ownSubnet(record, netConf, family);
    const publicIp = ownPublicIp(record, family, found);
    return { subnet, publicIp, vtepMac: macOf(family) };
  });
}

/** Returns the MACs for the first leases of this node. `nodes` has the records of all nodes, `stored` the run directory's. */
export function ownMacsOf(
  record: NodeRecord,
  { netConf, families }: LeaseRequest,
  nodes: ReadonlyMap<string, NodeRecord>,
  stored: PerFamily<string>,
): PerFamily<string> {
  if (netConf.backend.type !== 'vxlan') return {};
  return mapFamilies(families, ({ vtepMac: adopted }, family) => {
    const { data } = FAMILY_ANNOTATIONS[family];
    const isTaken = (mac: string): boolean =>
      [...nodes.values()].some(
        ({ name, annotations }) => name !== record.name && validVtepMacIn(annotations[data]) === mac,
      );
    const published = publishedMac(record.annotations[data]);
    return ownVtepMac({ published, adopted, stored: stored[family], isTaken });
  });
}

/** Logs, in flannel's words, each annotation that replaces the public IP found on the interface. */
export function logOverwrites({ annotations }: NodeRecord, { families }: LeaseRequest, prefix: string): void {
  for (const family of familiesIn(families)) {
    const { overwrite } = FAMILY_ANNOTATIONS[family];
    const text = annotations[overwrite];
    if (!text || text === formatIp(valueIn(families, family).publicIp)) continue;
    info(
      `Overriding public ip${family === 'ipv6' ? 'v6' : ''} with '${text}' from node annotation '${prefix}${overwrite}'`,
    );
  }
}

/** Returns the checked pod CIDR of one family. @throws UserError when this node cannot have a lease */
function ownSubnet(record: NodeRecord, { networks, origin }: NetConf, family: Family): Cidr {
  const { name, podCidrs } = record;
  if (podCidrs.length === 0) {
    throw new UserError(
      `node "${name}" pod cidr not assigned; run kube-controller-manager with --allocate-node-cidrs and --cluster-cidr, or kubeadm init with --pod-network-cidr`,
    );
  }
  if (podCidrs.length > 2) {
    throw new UserError(
      `node "${name}" pod cidrs should be IPv4/IPv6 only or dualstack; it has ${podCidrs.join(', ')}`,
    );
  }
  const subnet = podCidr(record, family);
  if (subnet === undefined) {
    const label = familyName(family);
    throw new UserError(
      `node "${name}" has no ${label} pod CIDR, only ${podCidrs.join(', ')}; give Kubernetes a cluster CIDR of ${label} too, or set Enable${label} to false in ${origin}`,
    );
  }
  const { network } = valueIn(networks, family);
  if (!contains(network, subnet)) {
    const [key, label] = family === 'ipv4' ? ['Network', 'PodCIDR'] : ['IPv6Network', 'IPv6 PodCIDR'];
    throw new UserError(
      `subnet "${formatCidr(network)}" specified in the flannel net config doesn't contain "${formatCidr(subnet)}" ${label} of the "${name}" node; set ${key} in ${origin} to the cluster CIDR of Kubernetes`,
    );
  }
  return subnet;
}

/** Returns the address to publish: the operator's annotation, or the address found. @throws UserError for a bad annotation */
function ownPublicIp({ name, annotations }: NodeRecord, family: Family, found: Ip): Ip {
  const { overwrite } = FAMILY_ANNOTATIONS[family];
  const text = annotations[overwrite];
  if (text === undefined || text === '') return found;
  const address = parseIp(text, family);
  if (address === undefined || !isNodeAddress(address)) {
    throw new UserError(
      `node "${name}" has annotation ${overwrite} "${text}", which is not the ${familyName(family)} address of a node; correct or remove it`,
    );
  }
  return address;
}

/** Returns the MAC in the node's own annotation; logs an invalid one. */
function publishedMac(data: string | undefined): string | undefined {
  let text: string | undefined;
  try {
    text = vtepMacIn(data);
  } catch {
    text = data;
  }
  if (text === undefined) return undefined;
  const mac = parseVtepMac(text);
  if (mac === undefined) warn(`Failed to parse mac addr(${text}): not a unicast MAC address; replacing it`);
  return mac;
}
