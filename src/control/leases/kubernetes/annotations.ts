/** The annotations in which flannel's nodes publish their leases (pkg/subnet/kube/annotations.go). */

import { type Family, familiesIn, valueIn } from '../../addresses/family.js';
import { formatIp } from '../../addresses/ip.js';
import { parseVtepMac } from '../../addresses/mac.js';
import type { NetConf } from '../../config/net-conf.js';
import { show, UserError } from '../../support/user-error.js';
import { type NodeLeases, vtepMacOf } from '../lease.js';

/** The annotations of each family, without the prefix. The operator sets `*-overwrite` and `node-*`. */
export const FAMILY_ANNOTATIONS = {
  ipv4: {
    data: 'backend-data',
    publicIp: 'public-ip',
    overwrite: 'public-ip-overwrite',
    nodePublicIp: 'node-public-ip',
  },
  ipv6: {
    data: 'backend-v6-data',
    publicIp: 'public-ipv6',
    overwrite: 'public-ipv6-overwrite',
    nodePublicIp: 'node-public-ipv6',
  },
} as const satisfies Record<Family, object>;

/** All names, without the prefix. */
export const ANNOTATIONS = [
  'backend-type',
  'kube-subnet-manager',
  ...Object.values(FAMILY_ANNOTATIONS.ipv4),
  ...Object.values(FAMILY_ANNOTATIONS.ipv6),
] as const;

export type Annotation = (typeof ANNOTATIONS)[number];
/** Values by name. */
export type Annotations = Partial<Record<Annotation, string>>;

/** A DNS subdomain, a slash and a name of at most 63 characters: the limit on annotations in Kubernetes. */
const MAX_PREFIX = 253 + 1 + 63;

/** Returns the prefix of all names: `fqdn/` or `fqdn/name-`. @throws UserError in flannel's words */
export function annotationPrefix(text: string): string {
  if (text.length > MAX_PREFIX) throw prefixError(text, `prefix can have at most ${MAX_PREFIX} characters`);
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
  return new UserError(
    `error creating network manager: subnet/kube: ${rule}; correct --kube-annotation-prefix ${show(text)}`,
  );
}

/** Returns the annotations that publish these leases, ordered by name as in flannel's JSON. */
export function annotationsOf(leases: NodeLeases, { backend }: NetConf): Annotations {
  const vxlan = backend.type === 'vxlan';
  // flannel's udp backend publishes no type.
  const annotations: Annotations = { 'backend-type': vxlan ? 'vxlan' : '', 'kube-subnet-manager': 'true' };
  for (const family of familiesIn(leases)) {
    const lease = valueIn(leases, family);
    const { data, publicIp } = FAMILY_ANNOTATIONS[family];
    // flannel finds its MAC again by cutting this text, so order and spacing matter.
    annotations[data] = vxlan ? `{"VNI":${backend.vni},"VtepMAC":"${vtepMacOf(lease)}"}` : 'null';
    annotations[publicIp] = formatIp(lease.publicIp);
  }
  return Object.fromEntries(Object.entries(annotations).sort());
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

/** Returns VtepMAC of backend-data or backend-v6-data in its canonical form; undefined for any other value. */
export function validVtepMacIn(data: string | undefined): string | undefined {
  try {
    return parseVtepMac(vtepMacIn(data) ?? '');
  } catch {
    return undefined;
  }
}
