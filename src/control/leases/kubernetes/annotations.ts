/** The annotations in which flannel's nodes publish their leases (pkg/subnet/kube/annotations.go). */

import type { Family } from '../../addresses/family.js';
import { formatIp } from '../../addresses/ip.js';
import type { NetConf } from '../../config/net-conf.js';
import { show, UserError } from '../../support/user-error.js';
import { type Lease, type NodeLeases, vtepMacOf } from '../lease.js';

/** Names without the prefix. The operator sets `*-overwrite` and `node-*`, the node sets the others. */
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
/** Values by name. */
export type Annotations = Partial<Record<Annotation, string>>;

/** Annotations of each family. */
export const NAMES = {
  ipv4: { data: 'backend-data', publicIp: 'public-ip', overwrite: 'public-ip-overwrite' },
  ipv6: { data: 'backend-v6-data', publicIp: 'public-ipv6', overwrite: 'public-ipv6-overwrite' },
} as const satisfies Record<Family, Record<string, Annotation>>;

/** Returns the prefix of all names: `fqdn/` or `fqdn/name-`. @throws UserError in flannel's words */
export function annotationPrefix(text: string): string {
  const parts = text.split('/');
  if (parts.length > 2) throw prefixError(text, 'prefix can contain at most single slash');
  let prefix = parts.length === 1 ? `${text}/` : text;
  if (!/[/-]$/.test(prefix)) prefix += '-';
  // Not anchored on the left, as in flannel; the API server refuses invalid names.
  if (!/([a-z0-9_-]+\.)+[a-z0-9_-]+\/([a-z0-9_-]+-)?$/.test(prefix)) {
    throw prefixError(text, 'prefix must be in a format: fqdn/[0-9a-z-_]*');
  }
  return prefix;
}

function prefixError(text: string, rule: string): UserError {
  return new UserError(`subnet/kube: ${rule}; correct --kube-annotation-prefix ${show(text)}`);
}

/** Returns the annotations that publish these leases. */
export function annotationsOf({ ipv4, ipv6 }: NodeLeases, { backend }: NetConf): Annotations {
  const vxlan = backend.type === 'vxlan';
  // flannel finds its MAC again by cutting this text, so order and spacing matter.
  const data = (lease: Lease): string =>
    vxlan ? `{"VNI":${backend.vni},"VtepMAC":"${vtepMacOf(lease)}"}` : 'null';
  return {
    ...(ipv4 && { 'backend-data': data(ipv4) }),
    // flannel's udp backend publishes no type.
    'backend-type': vxlan ? 'vxlan' : '',
    ...(ipv6 && { 'backend-v6-data': data(ipv6) }),
    'kube-subnet-manager': 'true',
    ...(ipv4 && { 'public-ip': formatIp(ipv4.publicIp) }),
    ...(ipv6 && { 'public-ipv6': formatIp(ipv6.publicIp) }),
  };
}

/** Returns VtepMAC of backend-data or backend-v6-data; undefined if missing. @throws Error for a value that is not JSON */
export function vtepMacIn(data: string | undefined): string | undefined {
  if (data === undefined || data === '') return undefined;
  const value: unknown = JSON.parse(data);
  if (typeof value !== 'object' || value === null) return undefined;
  // Go matches keys regardless of case.
  const [, mac] = Object.entries(value).find(([key]) => key.toLowerCase() === 'vtepmac') ?? [];
  return typeof mac === 'string' && mac !== '' ? mac : undefined;
}
