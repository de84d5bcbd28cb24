/** The lease that this node's Node object gives it (pkg/subnet/kube/kube.go, AcquireLease). */

import {
  type Cidr,
  contains,
  formatCidr,
  formatIpv4,
  type Ipv4,
  isNodeAddress,
  networkOf,
  parseCidr,
  parseIpv4,
} from '../../ipv4.js';
import { warn } from '../../log.js';
import { parseVtepMac } from '../../mac.js';
import { UserError } from '../../user-error.js';
import type { Lease } from '../lease.js';
import type { LeaseRequest } from '../source.js';
import { deriveVtepMac } from '../vtep-mac.js';
import { vtepMacIn } from './annotations.js';
import type { NodeRecord } from './node-record.js';

const OVERWRITE = 'public-ip-overwrite';

/** The first IPv4 network of a node's pod CIDRs; undefined when there is none. */
export function ipv4PodCidr({ podCidrs }: NodeRecord): Cidr | undefined {
  for (const text of podCidrs) {
    const parsed = parseCidr(text);
    if (parsed !== undefined)
      return { base: networkOf(parsed.address, parsed.prefix), prefix: parsed.prefix };
  }
  return undefined;
}

/** The pod CIDR, checked. @throws UserError when this node cannot have a lease */
export function ownSubnet(record: NodeRecord, { netConf }: LeaseRequest): Cidr {
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
  const subnet = ipv4PodCidr(record);
  if (subnet === undefined) {
    throw new UserError(
      `node "${name}" has no IPv4 pod CIDR, only ${podCidrs.join(', ')}; this version of Weft carries IPv4 clusters only`,
    );
  }
  if (!contains(netConf.network, subnet)) {
    throw new UserError(
      `subnet "${formatCidr(netConf.network)}" specified in the flannel net config doesn't contain "${formatCidr(subnet)}" PodCIDR of the "${name}" node; make Network in ${netConf.origin} the cluster CIDR of Kubernetes`,
    );
  }
  return subnet;
}

/** The address to publish: the operator's annotation goes before what was found on the interface. @throws UserError */
export function ownPublicIp({ name, annotations }: NodeRecord, request: LeaseRequest): Ipv4 {
  const text = annotations[OVERWRITE];
  if (text === undefined || text === '') return request.publicIp;
  const address = parseIpv4(text);
  if (address === undefined || !isNodeAddress(address)) {
    throw new UserError(
      `node "${name}" has annotation ${OVERWRITE} "${text}", which is no IPv4 address of a node; correct or remove it`,
    );
  }
  return address;
}

/** The MAC the node had before, so that a restart changes nothing for its peers; else the one that its address gives. */
export function ownVtepMac(
  record: NodeRecord,
  { netConf: { backend }, vtepMac }: LeaseRequest,
  publicIp: Ipv4,
): string | undefined {
  if (backend.type !== 'vxlan') return undefined;
  const stored = storedMac(record.annotations['backend-data']);
  return stored ?? vtepMac ?? deriveVtepMac(backend.vni, formatIpv4(publicIp));
}

function storedMac(data: string | undefined): string | undefined {
  let text: string | undefined;
  try {
    text = vtepMacIn(data);
  } catch {
    text = data;
  }
  if (text === undefined) return undefined;
  const mac = parseVtepMac(text);
  if (mac === undefined) warn(`Failed to parse mac addr(${text}): no unicast MAC address; it gets another`);
  return mac;
}

/** The whole lease. @throws UserError as the parts do */
export function ownLeaseOf(record: NodeRecord, request: LeaseRequest): Lease {
  const subnet = ownSubnet(record, request);
  const publicIp = ownPublicIp(record, request);
  return { subnet, publicIp, vtepMac: ownVtepMac(record, request, publicIp) };
}
