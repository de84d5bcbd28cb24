/**
 * The chains that iptables keeps in nf_tables, by nft: for a machine without the iptables that made them, and for chains
 * that others have filled with rules which iptables cannot print.
 */

import type { Family } from '../addresses/family.js';
import { NOT_FOUND, reason, run } from '../support/command.js';
import { type Chain, stillUsed } from './iptables.js';
import { applyText, WORDS } from './nftables.js';

/** A rule of a base chain that leads to ours. */
export interface NftJump {
  readonly handle: string;
  /** As nft prints it, without what iptables adds to each rule: `jump FLANNEL-FWD`, matches before it. */
  readonly text: string;
}

/**
 * The jumps from a chain's base to it, none where there is no such base; undefined where there is no nft to ask.
 * @throws Error when nft cannot tell
 */
export async function nftJumps(
  family: Family,
  { table, base, name }: Chain,
  signal?: AbortSignal,
): Promise<NftJump[] | undefined> {
  const args = ['--handle', 'list', 'chain', WORDS[family], table, base];
  const outcome = await run('nft', args, '', signal);
  if (outcome.code === NOT_FOUND) return undefined;
  if (outcome.stderr.includes('No such file or directory')) return [];
  if (outcome.code !== 0) throw new Error(`nft ${args.join(' ')}: ${reason(outcome)}`);
  const rule = new RegExp(`^\\s*(.*\\b(?:jump|goto) ${name})(?: comment ".*")? # handle (\\d+)$`, 'gm');
  return [...outcome.stdout.matchAll(rule)].map(([, text = '', handle = '']) => ({
    handle,
    text: text.replace(/xt match "comment" |counter packets \d+ bytes \d+ /g, '').trim(),
  }));
}

/** Deletes rules of a chain's base. @throws Error */
export async function deleteNftJumps(
  family: Family,
  chain: Chain,
  handles: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  if (handles.length > 0) await applyText(lines(deletions(family, chain, handles)), signal);
}

/** Removes these chains and the jumps to them; true when there was one, false without nft. @throws Error */
export async function clearIptablesChains(
  family: Family,
  chains: readonly Chain[],
  signal?: AbortSignal,
): Promise<boolean> {
  let found = false;
  for (const chain of chains) {
    const own = `chain ${WORDS[family]} ${chain.table} ${chain.name}`;
    if ((await run('nft', ['list', ...own.split(' ')], '', signal)).code !== 0) continue;
    const jumps = (await nftJumps(family, chain, signal)) ?? [];
    const handles = jumps.map(({ handle }) => handle);
    await applyText(lines([...deletions(family, chain, handles), `flush ${own}`]), signal);
    // Apart, so that a chain that others lead to is at least of no effect.
    await applyText(lines([`delete ${own}`]), signal).catch((error: Error) => {
      throw new Error(stillUsed(chain, error.message));
    });
    found = true;
  }
  return found;
}

function deletions(family: Family, { table, base }: Chain, handles: readonly string[]): string[] {
  return handles.map((handle) => `delete rule ${WORDS[family]} ${table} ${base} handle ${handle}`);
}

function lines(commands: readonly string[]): string {
  return `${commands.join('\n')}\n`;
}
