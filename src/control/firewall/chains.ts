/** The chains that Weft adds to iptables; flannel uses the same ones. */

import type { RuleSets } from './rules.js';

export interface IptablesChain {
  readonly set: keyof RuleSets;
  readonly table: string;
  /** The kernel's chain that jumps to this one. */
  readonly base: string;
  readonly name: string;
  /** The comment on each rule of the chain. */
  readonly comment: string;
}

export const IPTABLES_CHAINS: readonly IptablesChain[] = [
  { set: 'masq', table: 'nat', base: 'POSTROUTING', name: 'FLANNEL-POSTRTG', comment: 'flanneld masq' },
  { set: 'forward', table: 'filter', base: 'FORWARD', name: 'FLANNEL-FWD', comment: 'flanneld forward' },
];

/** The error for an emptied chain that the kernel refuses to delete because another rule refers to it. */
export function chainInUse({ table, name }: IptablesChain, reason: string): Error {
  return new Error(
    `chain ${name} of table ${table} was emptied but cannot be deleted (${reason}); delete the rules of other programs that jump to it`,
  );
}
