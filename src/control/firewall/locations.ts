/** The locations of Weft's rules on a machine: two firewalls, two families, and two back ends of iptables. */

import { existsSync } from 'node:fs';
import { FAMILIES, type Family } from '../addresses/family.js';
import { isInPath } from '../support/command.js';
import { UserError } from '../support/user-error.js';
import { IPTABLES_CHAINS, type IptablesChain } from './chains.js';
import { Iptables, type IptablesOptions } from './iptables.js';
import { clearIptablesChains } from './iptables-nft.js';
import { clearTable, Nftables, probeNftables } from './nftables.js';
import type { FirewallOptions, RuleStore } from './rules.js';

/** Exists while the kernel has IPv6: not without its module, and not with ipv6.disable=1. */
const IPV6_ADDRESSES = '/proc/net/if_inet6';

/** Seconds to wait for the lock of iptables (/run/xtables.lock); kube-proxy waits as long. */
export const WAIT_S = 5;

/** A location that must have no rules of Weft. */
export interface RuleLocation {
  readonly name: string;
  /** Removes the rules. Returns true if there were some. @throws Error */
  readonly clear: () => Promise<boolean>;
}

export interface RuleLocations {
  /** Where the desired rules of each family are written; a family may have none. */
  used: ReadonlyMap<Family, RuleStore>;
  /** The iptables of each family whose rules are there. */
  choices: ReadonlyMap<Family, IptablesChoice>;
  /** Every other location, whose rules are stale. */
  unused: readonly RuleLocation[];
  /** What this machine lacks for the desired rules, as log lines. */
  limitations: readonly string[];
}

/**
 * Finds the locations for these options without changing anything. The signal stops their running commands.
 * @throws UserError when rules are desired that this machine cannot have
 */
export async function locationsFor(options: FirewallOptions, signal: AbortSignal): Promise<RuleLocations> {
  return options.mode === 'nftables' ? await inNftables(options, signal) : await inIptables(options, signal);
}

/**
 * Checks without a command what usually keeps a machine from having the rules: iptables is not in PATH. `locationsFor` finds
 * the rest. @throws UserError
 */
export async function refuseMissing({ mode, ipMasq, families }: FirewallOptions): Promise<void> {
  if (mode === 'nftables') return;
  for (const family of families) if (!(await isInPath(commandOf(family)))) missingIptables(family, ipMasq);
}

/** Returns every location that may have rules of Weft or flannel, regardless of the options. */
export async function allLocations(
  options: IptablesOptions = { waitSeconds: WAIT_S },
): Promise<RuleLocation[]> {
  return [...(await allIptables(options)), ...presentFamilies([]).map(nftablesLocation)];
}

/** The commands of a family: the one that Weft uses, if iptables is installed, and those of other back ends. */
export interface IptablesChoice {
  main: Iptables | undefined;
  others: readonly Iptables[];
  /** Why Weft uses another one than the machine's default, as a log line. */
  reason: string | undefined;
}

/**
 * Finds the commands of a family. As in flannel's image (iptables-wrappers), the back end with kubelet's chains is used:
 * rules of one packet path belong to one back end. Without kubelet the machine's default is used.
 */
export async function findIptables(
  family: Family,
  options: IptablesOptions = { waitSeconds: WAIT_S },
): Promise<IptablesChoice> {
  const found = await findAny(family, options);
  const { main, others } = found;
  if (main === undefined || others.length === 0) return found;
  const all = [main, ...others];
  const kubelet = await Promise.all(all.map((iptables) => iptables.hasKubelet()));
  const chosen = preferred(all.filter((_, index) => kubelet[index]));
  if (chosen === undefined || chosen === main) return found;
  return {
    main: chosen,
    others: all.filter((iptables) => iptables !== chosen),
    reason: `${main.command} uses ${main.backEnd}, but kubelet's chains are in ${chosen.backEnd}: Weft uses ${chosen.command}`,
  };
}

/** Returns the machine's default, without a search for kubelet's chains. */
async function findAny(family: Family, options: IptablesOptions): Promise<IptablesChoice> {
  const [main, ...others] = await Iptables.find(family, options);
  return { main, others, reason: undefined };
}

/** Returns nf_tables if kubelet's chains are in both back ends: it is the newer one. */
function preferred(candidates: readonly Iptables[]): Iptables | undefined {
  return candidates.find(({ backEnd }) => backEnd === 'nf_tables') ?? candidates[0];
}

async function inIptables(options: FirewallOptions, signal: AbortSignal): Promise<RuleLocations> {
  const { ipMasq, forwardRules, fullyRandom, families } = options;
  const enabled = { masq: ipMasq, forward: forwardRules };
  const used = new Map<Family, RuleStore>();
  const choices = new Map<Family, IptablesChoice>();
  const present = presentFamilies(families);
  const unused = present.map(nftablesLocation);
  const limitations: string[] = [];
  const iptables = { ...iptablesOptions(options, signal), randomFully: fullyRandom };
  const found = await Promise.all(
    present.map(async (family) => {
      const needed = families.includes(family) && (ipMasq || forwardRules);
      const stale = needed ? IPTABLES_CHAINS.filter(({ set }) => !enabled[set]) : IPTABLES_CHAINS;
      return { family, needed, ...(await iptablesOf(family, iptables, stale, needed)) };
    }),
  );
  for (const { family, needed, choice, locations } of found) {
    unused.push(...locations);
    if (!needed) continue;
    choices.set(family, choice);
    const { main } = choice;
    if (main === undefined) limitations.push(missingIptables(family, ipMasq));
    else used.set(family, main);
  }
  return { used, choices, unused, limitations };
}

async function inNftables(options: FirewallOptions, signal: AbortSignal): Promise<RuleLocations> {
  const { ipMasq, forwardRules, fullyRandom, families } = options;
  const iptables = iptablesOptions(options, signal);
  if (!ipMasq && !forwardRules) {
    return { used: new Map(), choices: new Map(), unused: await allLocations(iptables), limitations: [] };
  }
  const probed = await probeNftables();
  if ('unsupported' in probed) {
    throw new UserError(
      `no nftables support: nft: ${probed.unsupported}; install nftables (apt-get install nftables), or set EnableNFTables to false in net-conf`,
    );
  }
  const randomFully = fullyRandom && probed.randomFully;
  return {
    // flannel always creates the tables of both families; one may be empty.
    used: new Map(
      presentFamilies(families).map((family) => [family, new Nftables(family, randomFully, signal)]),
    ),
    choices: new Map(),
    unused: await allIptables(iptables),
    limitations: fullyRandom && !probed.randomFully ? ['nftables: random fully unsupported'] : [],
  };
}

/** Limits the wait to the time between two checks: a longer wait would only queue them up. */
function iptablesOptions({ resyncSeconds }: FirewallOptions, signal: AbortSignal): IptablesOptions {
  return { waitSeconds: Math.min(WAIT_S, Math.ceil(resyncSeconds)), signal };
}

async function allIptables(options: IptablesOptions): Promise<RuleLocation[]> {
  const found = await Promise.all(
    presentFamilies([]).map((family) => iptablesOf(family, options, IPTABLES_CHAINS, false)),
  );
  return found.flatMap(({ locations }) => locations);
}

/** Returns the iptables that a family uses, with `stale` as its stale chains, and the locations with stale chains. */
async function iptablesOf(
  family: Family,
  options: IptablesOptions,
  stale: readonly IptablesChain[],
  needed: boolean,
): Promise<{ choice: IptablesChoice; locations: RuleLocation[] }> {
  const choice = await (needed ? findIptables : findAny)(family, options);
  const { main, others } = choice;
  const locations = others.map((other) => ({
    name: other.command,
    clear: () => other.clear(IPTABLES_CHAINS),
  }));
  if (main !== undefined && stale.length > 0) {
    locations.unshift({ name: main.command, clear: () => main.clear(stale) });
  }
  // An iptables that is not installed any more may have left chains in nf_tables.
  if (![main, ...others].some((iptables) => iptables?.backEnd === 'nf_tables')) {
    const clear = () => clearIptablesChains(family, IPTABLES_CHAINS, options.signal);
    locations.push({ name: `iptables in nftables (${family})`, clear });
  }
  return { choice, locations };
}

/** Returns the families that this kernel has, and those that are needed anyway. Without IPv6 there are no such rules. */
function presentFamilies(needed: readonly Family[]): Family[] {
  return FAMILIES.filter(
    (family) => family === 'ipv4' || needed.includes(family) || existsSync(IPV6_ADDRESSES),
  );
}

function nftablesLocation(family: Family): RuleLocation {
  return { name: `nftables (${family})`, clear: async () => clearTable(family) };
}

/**
 * Returns the limitation of a machine without iptables. Without masquerading pods reach nothing outside; the forward rules
 * matter only where the policy of FORWARD is to drop. @throws UserError when masquerading is desired
 */
function missingIptables(family: Family, ipMasq: boolean): string {
  const command = commandOf(family);
  const what = `${command}: command not found in PATH; install iptables (apt-get install iptables), or set EnableNFTables to true in net-conf`;
  if (ipMasq) throw new UserError(`${what}: --ip-masq needs it`);
  return `${what}: the rules of --iptables-forward-rules were not installed`;
}

function commandOf(family: Family): string {
  return family === 'ipv4' ? 'iptables' : 'ip6tables';
}
