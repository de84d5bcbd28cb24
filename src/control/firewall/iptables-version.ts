/** What `iptables --version` says: `iptables v1.8.9 (nf_tables)`; before 1.8.0 it names no back end. */

/** The first release with `iptables-restore --wait` and MASQUERADE's --random-fully. */
const RECENT = [1, 6, 2];

/** The kernel interface that a command uses. Neither shows the rules of the other. */
export type BackEnd = 'legacy' | 'nf_tables';

export function backEndOf(version: string): BackEnd {
  return version.includes('nf_tables') ? 'nf_tables' : 'legacy';
}

/** Returns whether this release has `--wait` and `--random-fully`. */
export function isRecent(version: string): boolean {
  const numbers = /v(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number) ?? [];
  const differs = RECENT.findIndex((least, index) => numbers[index] !== least);
  return differs < 0 || (numbers[differs] ?? 0) > (RECENT[differs] as number);
}
