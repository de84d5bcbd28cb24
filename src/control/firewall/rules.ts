/** The rules flannel gives a node, whatever firewall they are for (its pkg/trafficmngr). */

import { type Cidr, formatCidr } from '../addresses/cidr.js';
import type { Family } from '../addresses/family.js';
import type { PodSubnets } from '../subnet-env.js';

export interface FirewallOptions {
  mode: 'iptables' | 'nftables';
  /** Those the pod network has. */
  families: readonly Family[];
  /** Whether pods' traffic that leaves the cluster is to be masqueraded. */
  ipMasq: boolean;
  /** Whether pods' traffic is to be forwarded even where the chain's policy is to drop. */
  forwardRules: boolean;
  /** False: masquerade from ports in order, even where the kernel can choose them at random. */
  fullyRandom: boolean;
  /** Seconds between two looks at the rules. */
  resyncSeconds: number;
}

export interface Rule {
  /** Only packets with kube-proxy's mark: it masquerades them itself. */
  marked?: true;
  source?: AddressMatch;
  destination?: AddressMatch;
  verdict: 'return' | 'accept' | 'masquerade';
}

export interface AddressMatch {
  cidr: string;
  /** True for every address but these. */
  not: boolean;
}

/** What is to be in force for one family; an empty set is one that nobody wants. */
export interface RuleSets {
  masq: readonly Rule[];
  forward: readonly Rule[];
}

export const NO_RULES: RuleSets = { masq: [], forward: [] };

const MULTICAST = { ipv4: '224.0.0.0/4', ipv6: 'ff00::/8' };

/** Which packets leave the node with its own address: those from pods to outside, and from outside to other nodes' pods. */
export function masqRules(family: Family, { network, subnet }: PodSubnets): Rule[] {
  return [
    { marked: true, verdict: 'return' },
    { source: only(subnet), destination: only(network), verdict: 'return' },
    { source: only(network), destination: only(subnet), verdict: 'return' },
    // This node's own pods see who it is that comes from outside.
    { source: but(network), destination: only(subnet), verdict: 'return' },
    { source: only(network), destination: but(MULTICAST[family]), verdict: 'masquerade' },
    { source: but(network), destination: only(network), verdict: 'masquerade' },
  ];
}

/** Forwarding for the pod network, whatever the policy of the chain is. */
export function forwardRules({ network }: Pick<PodSubnets, 'network'>): Rule[] {
  return [
    { source: only(network), verdict: 'accept' },
    { destination: only(network), verdict: 'accept' },
  ];
}

function only(cidr: Cidr | string): AddressMatch {
  return { cidr: typeof cidr === 'string' ? cidr : formatCidr(cidr), not: false };
}

function but(cidr: Cidr | string): AddressMatch {
  return { ...only(cidr), not: true };
}

/** Where a family's rules live: one back end of one firewall. */
export interface Tables {
  /**
   * What is in force where the wanted rules belong, as the firewall prints it, and what leads packets there: the same
   * lines, the same rules. @throws Error
   */
  read(wanted: RuleSets): Promise<string[]>;
  /** Whether lines that were read just after a write have as many rules as were written. */
  isWhole(lines: readonly string[], wanted: RuleSets): boolean;
  /** Puts the wanted rules there, in this order and nothing else, in one transaction per table. @throws Error */
  write(wanted: RuleSets): Promise<void>;
}

/** How many rules there are when everything is there, with one for each chain that packets are led to. */
export function lineCount({ masq, forward }: RuleSets): number {
  return [masq, forward].reduce((sum, { length }) => sum + (length === 0 ? 0 : length + 1), 0);
}
