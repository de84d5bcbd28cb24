/** Log lines about the parts of rules that a kernel lacks: the module, the loss and the remedy. */

import type { Family } from '../addresses/family.js';
import type { Part } from './reduction.js';

/** Where the rules are: with nf_tables, iptables reaches the matches and targets of xtables through nft_compat. */
export type Interface = 'legacy' | 'nf_tables' | 'nftables';

const LOSSES: Record<Part, string> = {
  comment: "Weft's rules have no comments",
  mark: 'traffic that kube-proxy marks for masquerading is not left to kube-proxy',
  randomFully: 'masqueraded connections get no random source ports, and parallel ones may collide',
  masquerade: 'traffic from pods to addresses outside the cluster keeps its source and gets no reply',
  table: '',
};

/** xt_MASQUERADE exists since Linux 5.2; before, ipt_MASQUERADE and ip6t_MASQUERADE, which are its aliases now. */
const XTABLES_MODULES = { comment: 'xt_comment', mark: 'xt_mark', masquerade: 'xt_MASQUERADE' };
const NFT_MODULES = { comment: 'nf_tables', mark: 'nf_tables', masquerade: 'nft_masq' };

/** Returns the log line about a missing part of the rules in `table`. */
export function lossLine(
  part: Part,
  where: { command: string; interface: Interface; family: Family; table: string },
): string {
  const { command, table } = where;
  if (part === 'randomFully')
    return `${command}: the kernel refuses random source ports: ${LOSSES.randomFully}; use a kernel from 3.13 on, or --ip-masq-fully-random-disable`;
  if (part === 'table') {
    const module = tableModule(where);
    const loss =
      table === 'nat' ? LOSSES.masquerade : 'pod traffic passes only if the policy of FORWARD is ACCEPT';
    return `${command}: the kernel has no table ${table} (module ${module}): ${loss}; load it: modprobe ${module}`;
  }
  const module = (where.interface === 'nftables' ? NFT_MODULES : XTABLES_MODULES)[part];
  const load = where.interface === 'nf_tables' ? `-a nft_compat ${module}` : module;
  return `${command}: the kernel lacks module ${module}: ${LOSSES[part]}; load it: modprobe ${load}`;
}

function tableModule({ interface: used, family, table }: Parameters<typeof lossLine>[1]): string {
  if (used !== 'legacy') return table === 'nat' ? 'nft_chain_nat' : 'nf_tables';
  return family === 'ipv4' ? `iptable_${table}` : `ip6table_${table}`;
}
