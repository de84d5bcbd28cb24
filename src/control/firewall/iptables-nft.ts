/**
 * Access by nft to the chains that iptables keeps in nf_tables. It is needed where the iptables that created them is
 * missing, and where another program's rules keep iptables from printing a chain.
 */

import type { Family } from '../addresses/family.js';
import { NOT_FOUND, reason, run } from '../support/command.js';
import { chainInUse, type IptablesChain } from './chains.js';
import { applyNft, NFT_FAMILIES } from './nftables.js';

/** A rule of a base chain that jumps to a chain of Weft. */
export interface NftJump {
  readonly handle: string;
  /** The rule as nft prints it, without counter and comment: matches, then `jump FLANNEL-FWD`. */
  readonly text: string;
}

/**
 * Returns the jumps to a chain from its base chain. Returns an empty list if the base chain does not exist, undefined
 * if nft is not installed. @throws Error when nft fails
 */
export async function nftJumps(
  family: Family,
  { table, base, name }: IptablesChain,
  signal?: AbortSignal,
): Promise<NftJump[] | undefined> {
  const args = ['--handle', 'list', 'chain', NFT_FAMILIES[family], table, base];
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

/** Deletes rules from a chain's base chain. @throws Error */
export async function deleteNftJumps(
  family: Family,
  chain: IptablesChain,
  handles: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  if (handles.length > 0) await applyNft(deletions(family, chain, handles), signal);
}

/** Deletes these chains and the jumps to them. Returns true if one existed, false without nft. @throws Error */
export async function clearIptablesChains(
  family: Family,
  chains: readonly IptablesChain[],
  signal?: AbortSignal,
): Promise<boolean> {
  let found = false;
  for (const chain of chains) {
    const own = `chain ${NFT_FAMILIES[family]} ${chain.table} ${chain.name}`;
    if ((await run('nft', ['list', ...own.split(' ')], '', signal)).code !== 0) continue;
    const jumps = (await nftJumps(family, chain, signal)) ?? [];
    const handles = jumps.map(({ handle }) => handle);
    await applyNft([...deletions(family, chain, handles), `flush ${own}`], signal);
    // In a transaction of its own: the chain stays empty if another rule jumps to it.
    await applyNft([`delete ${own}`], signal).catch((error: Error) => {
      throw chainInUse(chain, error.message);
    });
    found = true;
  }
  return found;
}

function deletions(family: Family, { table, base }: IptablesChain, handles: readonly string[]): string[] {
  return handles.map((handle) => `delete rule ${NFT_FAMILIES[family]} ${table} ${base} handle ${handle}`);
}
