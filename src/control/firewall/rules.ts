/** flannel's firewall rules for a node (its pkg/trafficmngr), independent of the firewall that gets them. */

import { type Cidr, formatCidr } from '../addresses/cidr.js';
import type { Family } from '../addresses/family.js';
import type { RuleOptions } from '../options.js';
import type { PodSubnets } from '../subnet-env.js';

export interface FirewallOptions extends Omit<RuleOptions, 'blackholeRoute'> {
  mode: 'iptables' | 'nftables';
  /** The families of the pod network. */
  families: readonly Family[];
}

export interface Rule {
  /** Matches only packets with kube-proxy's mark, which it masquerades itself. */
  marked?: true;
  source?: AddressMatch;
  destination?: AddressMatch;
  verdict: 'return' | 'accept' | 'masquerade';
}

export interface AddressMatch {
  cidr: string;
  /** Whether the match is inverted: every address outside `cidr`. */
  not: boolean;
}

/** The desired rules of one family; a set that is switched off is empty. */
export interface RuleSets {
  masq: readonly Rule[];
  forward: readonly Rule[];
}

export const NO_RULES: RuleSets = { masq: [], forward: [] };

const MULTICAST: Record<Family, Cidr> = {
  ipv4: { base: 0xe0000000, prefixLength: 4 },
  ipv6: { base: 0xffn << 120n, prefixLength: 8 },
};

/**
 * Returns the rules that masquerade packets with the node's address: from pods to outside the pod network, and from
 * outside to pods of other nodes.
 */
export function masqRules(family: Family, { network, subnet }: PodSubnets): Rule[] {
  return [
    { marked: true, verdict: 'return' },
    { source: only(subnet), destination: only(network), verdict: 'return' },
    { source: only(network), destination: only(subnet), verdict: 'return' },
    // Pods of this node see the real source address of traffic from outside.
    { source: but(network), destination: only(subnet), verdict: 'return' },
    { source: only(network), destination: but(MULTICAST[family]), verdict: 'masquerade' },
    { source: but(network), destination: only(network), verdict: 'masquerade' },
  ];
}

/** Returns the rules that forward pod traffic even if the chain's policy is to drop. */
export function forwardRules({ network }: Pick<PodSubnets, 'network'>): Rule[] {
  return [
    { source: only(network), verdict: 'accept' },
    { destination: only(network), verdict: 'accept' },
  ];
}

function only(cidr: Cidr): AddressMatch {
  return { cidr: formatCidr(cidr), not: false };
}

function but(cidr: Cidr): AddressMatch {
  return { cidr: formatCidr(cidr), not: true };
}

/** The rules of one family in one back end of one firewall. */
export interface RuleStore {
  /**
   * Returns the present rules of the sets that are desired, and the jumps to them, as the firewall prints them. Equal
   * lines mean equal rules. @throws Error
   */
  read(desired: RuleSets): Promise<string[]>;
  /** Returns whether the lines read just after a write have as many rules as were written. */
  isComplete(lines: readonly string[], desired: RuleSets): boolean;
  /**
   * Replaces the present rules by the desired ones, in one transaction per table. Leaves out what the kernel lacks.
   * @throws Error
   */
  write(desired: RuleSets): Promise<void>;
  /** Completes rules that lack something, once the kernel accepts more; otherwise changes nothing. @throws Error */
  improve(desired: RuleSets): Promise<void>;
  /** Determines `losses` for the desired rules; changes no rule in use. @throws Error */
  probe(desired: RuleSets): Promise<void>;
  /** What the rules lack because of the kernel, as log lines. */
  readonly losses: readonly string[];
}
