/** The base chains of every firewall of this machine that a tunnelled packet or a datagram of the tunnel may cross. */

import type { Family } from '../../addresses/family.js';
import type { Iptables } from '../../firewall/iptables.js';
import type { BackEnd } from '../../firewall/iptables-version.js';
import { isLegacyTableLoaded } from '../../firewall/legacy-tables.js';
import { NFT_FAMILIES } from '../../firewall/nftables.js';
import { reason, run } from '../../support/command.js';
import { parseIptables } from './iptables-rules.js';
import { devicesByChain, type NftBaseChain, nftObjects, parseNftTable } from './nft-rules.js';
import type { Chains } from './walk.js';

/** What a chain is for: packets of pods, or datagrams of the tunnel that arrive or leave. */
type Hook = 'forward' | 'input' | 'output';

export interface BaseChain {
  hook: Hook;
  /** The chain as messages name it: `iptables: chain FORWARD`, `nftables: chain f_forward of table inet firewalld (hook forward)`. */
  label: string;
  name: string;
  chains: Chains;
  drops: boolean;
  /** The command that owns a chain of iptables, and its back end; undefined for a chain of nft. */
  iptables?: { command: string; backEnd: BackEnd };
  /** `inet firewalld`: the table of a chain of nft. */
  table?: string;
  /** A hook of a device sees only these interfaces. */
  devices?: readonly string[];
}

/** Tables that never drop a packet between pods of two nodes: Weft's own, and kube-proxy's large one. */
const SKIPPED_TABLES = /^(flannel-ipv[46]|kube-proxy)$/;

/**
 * Names that nft reads as such (src/scanner.l, `string`). It joins its arguments and parses them: another name, which only
 * netlink can give, would be part of a command.
 */
const IDENTIFIER = /^[\w.][\w./\\-]*$/;

/** The hooks of nf_tables that a pod's packet or a datagram of the tunnel passes. */
const HOOKS: Readonly<Record<string, Hook>> = {
  ingress: 'input',
  prerouting: 'input',
  input: 'input',
  forward: 'forward',
  output: 'output',
  postrouting: 'output',
  egress: 'output',
};

/**
 * Reads the chains of one family. A firewall that is not installed has none. @throws Error, AbortError once the signal is
 * aborted
 */
export async function readBaseChains(
  family: Family,
  iptables: readonly Iptables[],
  signal?: AbortSignal,
): Promise<BaseChain[]> {
  const nft = await nftBaseChains(family, signal);
  const found: BaseChain[] = [];
  const readable = new Set<string>();
  for (const { command, backEnd } of iptables) {
    const used =
      backEnd === 'legacy' ? await isLegacyTableLoaded(family, 'filter') : nft?.some(isIptables) !== false;
    if (!used) continue;
    const chains = await iptablesChains(command, backEnd, signal);
    if (chains.length > 0) readable.add(backEnd);
    found.push(...chains);
  }
  const own = readable.has('nf_tables') ? (nft ?? []).filter((chain) => !isIptables(chain)) : (nft ?? []);
  return [...found, ...(await nftChains(own, signal))];
}

async function iptablesChains(
  command: string,
  backEnd: BackEnd,
  signal: AbortSignal | undefined,
): Promise<BaseChain[]> {
  const outcome = await run(command, ['--table', 'filter', '--list-rules'], '', signal);
  // A held lock: the check fails, and its last result stays.
  if (outcome.code !== 0 && backEnd === 'legacy') throw new Error(`${command}: ${reason(outcome)}`);
  // With nf_tables, a rule that only nft can print.
  if (outcome.code !== 0) return [];
  const { chains, dropping } = parseIptables(outcome.stdout);
  return (['forward', 'input', 'output'] as const).map((hook) => {
    const name = hook.toUpperCase();
    return {
      hook,
      label: `${command}: chain ${name}`,
      name,
      chains,
      drops: dropping.has(name),
      iptables: { command, backEnd },
    };
  });
}

/** Returns the filtering base chains of nf_tables; undefined without nft. */
async function nftBaseChains(
  family: Family,
  signal: AbortSignal | undefined,
): Promise<NftBaseChain[] | undefined> {
  const { code, stdout } = await run('nft', ['--json', 'list', 'chains'], '', signal);
  if (code !== 0) return undefined;
  const families = [NFT_FAMILIES[family], 'inet', 'netdev'];
  return nftObjects<NftBaseChain>(stdout, 'chain').filter(
    (chain) =>
      chain.type === 'filter' &&
      families.includes(chain.family) &&
      Object.hasOwn(HOOKS, chain.hook) &&
      IDENTIFIER.test(chain.table) &&
      IDENTIFIER.test(chain.name) &&
      !SKIPPED_TABLES.test(chain.table),
  );
}

/** Whether iptables owns the chain, so that nft cannot print its matches. */
function isIptables({ family, table, name }: NftBaseChain): boolean {
  return family.startsWith('ip') && table === 'filter' && ['FORWARD', 'INPUT', 'OUTPUT'].includes(name);
}

async function nftChains(
  bases: readonly NftBaseChain[],
  signal: AbortSignal | undefined,
): Promise<BaseChain[]> {
  const tables = new Map<string, Chains | undefined>();
  const unnamed = bases.some(({ hook, dev }) => hook.endsWith('gress') && dev === undefined);
  const text = unnamed ? (await run('nft', ['list', 'chains'], '', signal)).stdout : '';
  const listed = devicesByChain(text);
  const found: BaseChain[] = [];
  for (const { family, table, name, hook, dev, policy } of bases) {
    const full = `${family} ${table}`;
    if (!tables.has(full)) tables.set(full, await readTable(full, signal));
    const chains = tables.get(full);
    if (chains === undefined) continue;
    const devices = dev === undefined ? listed.get(`${full} ${name}`) : [dev].flat();
    found.push({
      hook: HOOKS[hook] as Hook,
      label: `nftables: chain ${name} of table ${full} (hook ${hook})`,
      name,
      chains,
      drops: policy === 'drop',
      table: full,
      ...(devices && { devices }),
    });
  }
  return found;
}

/** Reads the rules of a table; undefined if nft cannot print them. */
async function readTable(table: string, signal: AbortSignal | undefined): Promise<Chains | undefined> {
  const args = ['--json', 'list', 'table', ...table.split(' ')];
  // A named set may have a hundred thousand elements, and no match on one is certain.
  let outcome = await run('nft', ['--terse', ...args], '', signal);
  // An old nft has no --terse.
  if (outcome.code !== 0) outcome = await run('nft', args, '', signal);
  return outcome.code === 0 ? parseNftTable(outcome.stdout) : undefined;
}
