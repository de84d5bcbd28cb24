/** The annotations by which flannel's nodes tell each other of their leases (pkg/subnet/kube/annotations.go). */

import type { NetConf } from '../../config/net-conf.js';
import { formatIpv4 } from '../../ipv4.js';
import { show, UserError } from '../../user-error.js';
import { type Lease, vtepMacOf } from '../lease.js';

/** Their names without the prefix; those of `-overwrite` and `node-` are set by the operator, the others by the node. */
export const ANNOTATIONS = [
  'backend-data',
  'backend-type',
  'backend-v6-data',
  'kube-subnet-manager',
  'node-public-ip',
  'node-public-ipv6',
  'public-ip',
  'public-ip-overwrite',
  'public-ipv6',
  'public-ipv6-overwrite',
] as const;

export type Annotation = (typeof ANNOTATIONS)[number];
/** Values by name; what a node has not is absent. */
export type Annotations = Partial<Record<Annotation, string>>;

/** What stands before each name: `fqdn/` or `fqdn/name-`. @throws UserError in flannel's words */
export function annotationPrefix(text: string): string {
  const parts = text.split('/');
  if (parts.length > 2) throw prefixError(text, 'prefix can contain at most single slash');
  let prefix = parts.length === 1 ? `${text}/` : text;
  if (!/[/-]$/.test(prefix)) prefix += '-';
  // Not anchored on the left, as flannel's: what it takes wrongly, the API server refuses.
  if (!/([a-z0-9_-]+\.)+[a-z0-9_-]+\/([a-z0-9_-]+-)?$/.test(prefix)) {
    throw prefixError(text, 'prefix must be in a format: fqdn/[0-9a-z-_]*');
  }
  return prefix;
}

function prefixError(text: string, rule: string): UserError {
  return new UserError(`subnet/kube: ${rule}; correct --kube-annotation-prefix ${show(text)}`);
}

/** What a node with this lease publishes. */
export function annotationsOf(lease: Lease, { backend }: NetConf): Annotations {
  const vxlan = backend.type === 'vxlan';
  return {
    // flannel finds its MAC again by cutting this text: no other order, no space.
    'backend-data': vxlan ? `{"VNI":${backend.vni},"VtepMAC":"${vtepMacOf(lease)}"}` : 'null',
    // flannel's udp backend registers without a type.
    'backend-type': vxlan ? 'vxlan' : '',
    'kube-subnet-manager': 'true',
    'public-ip': formatIpv4(lease.publicIp),
  };
}

/** The text of VtepMAC in backend-data; undefined when there is none. @throws Error when it is not JSON */
export function vtepMacIn(data: string | undefined): string | undefined {
  if (data === undefined || data === '') return undefined;
  const value: unknown = JSON.parse(data);
  if (typeof value !== 'object' || value === null) return undefined;
  // Go matches keys without regard to case.
  const [, mac] = Object.entries(value).find(([key]) => key.toLowerCase() === 'vtepmac') ?? [];
  return typeof mac === 'string' && mac !== '' ? mac : undefined;
}
