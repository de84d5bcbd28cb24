/** Where rules of ours can be on this machine: two firewalls, two families, and iptables in two back ends. */

import { FAMILIES, type Family } from '../addresses/family.js';
import { UserError } from '../support/user-error.js';
import { CHAINS, type Chain, Iptables, type IptablesOptions } from './iptables.js';
import { clearIptablesChains } from './iptables-nft.js';
import { clearTable, Nftables, probeNftables } from './nftables.js';
import type { FirewallOptions, Tables } from './rules.js';

/** Seconds to wait for the lock that other users of iptables hold (/run/xtables.lock): as long as kube-proxy does. */
const WAIT_S = 5;

/** A place that is to have no rules of ours. */
export interface Place {
  readonly name: string;
  /** Removes them; true when there were some. @throws Error */
  readonly clear: () => Promise<boolean>;
}

export interface Places {
  /** Where the wanted rules of a family go, also of one that is to have none. */
  used: ReadonlyMap<Family, Tables>;
  unused: readonly Place[];
  /** What is missing on this machine that rules were wanted of, for people. */
  lacks: readonly string[];
}

/**
 * Changes nothing; the signal ends what these places are doing. @throws UserError when rules are wanted and there is no way
 * to make them
 */
export async function placesFor(options: FirewallOptions, signal: AbortSignal): Promise<Places> {
  return options.mode === 'nftables' ? await inNftables(options, signal) : await inIptables(options, signal);
}

/** Everything that may hold rules of ours, whatever made them. */
export async function everywhere(options: IptablesOptions = { waitSeconds: WAIT_S }): Promise<Place[]> {
  return [...(await allIptables(options)), ...FAMILIES.map(nftablesPlace)];
}

async function inIptables(options: FirewallOptions, signal: AbortSignal): Promise<Places> {
  const { ipMasq, forwardRules, fullyRandom, families } = options;
  const asked = { masq: ipMasq, forward: forwardRules };
  const used = new Map<Family, Tables>();
  const unused = FAMILIES.map(nftablesPlace);
  const lacks: string[] = [];
  const iptables = { ...iptablesOptions(options, signal), randomFully: fullyRandom };
  for (const family of FAMILIES) {
    const [main, ...others] = await Iptables.find(family, iptables);
    unused.push(...withoutCommand(family, [main, ...others], signal));
    const holds = families.includes(family) && (ipMasq || forwardRules);
    if (holds && main === undefined) lacks.push(lackOf(family, ipMasq));
    else if (holds && main !== undefined) used.set(family, main);
    const idle = holds ? CHAINS.filter(({ set }) => !asked[set]) : CHAINS;
    unused.push(...iptablesPlaces(main, idle), ...others.flatMap((other) => iptablesPlaces(other)));
  }
  return { used, unused, lacks };
}

async function inNftables(options: FirewallOptions, signal: AbortSignal): Promise<Places> {
  const { ipMasq, forwardRules, fullyRandom } = options;
  const iptables = iptablesOptions(options, signal);
  if (!ipMasq && !forwardRules) return { used: new Map(), unused: await everywhere(iptables), lacks: [] };
  const able = await probeNftables();
  if ('refused' in able) {
    throw new UserError(
      `no nftables support: nft: ${able.refused}; install nftables (apt-get install nftables), or set EnableNFTables to false in net-conf`,
    );
  }
  const randomFully = fullyRandom && able.randomFully;
  return {
    // flannel has both tables always, one of them empty.
    used: new Map(FAMILIES.map((family) => [family, new Nftables(family, randomFully, signal)])),
    unused: await allIptables(iptables),
    lacks: fullyRandom && !able.randomFully ? ['nftables: random fully unsupported'] : [],
  };
}

/** Who waits longer than until the next look only queues up. */
function iptablesOptions({ resyncSeconds }: FirewallOptions, signal: AbortSignal): IptablesOptions {
  return { waitSeconds: Math.min(WAIT_S, Math.ceil(resyncSeconds)), signal };
}

async function allIptables(options: IptablesOptions): Promise<Place[]> {
  const places = await Promise.all(
    FAMILIES.map(async (family) => {
      const found = await Iptables.find(family, options);
      return [
        ...found.flatMap((iptables) => iptablesPlaces(iptables)),
        ...withoutCommand(family, found, options.signal),
      ];
    }),
  );
  return places.flat();
}

/** What an iptables that is not there any more may have left in nf_tables. */
function withoutCommand(
  family: Family,
  found: readonly (Iptables | undefined)[],
  signal: AbortSignal | undefined,
): Place[] {
  if (found.some((iptables) => iptables?.backEnd === 'nf_tables')) return [];
  const clear = () => clearIptablesChains(family, CHAINS, signal);
  return [{ name: `iptables in nftables (${family})`, clear }];
}

function iptablesPlaces(iptables: Iptables | undefined, chains: readonly Chain[] = CHAINS): Place[] {
  if (iptables === undefined || chains.length === 0) return [];
  return [{ name: iptables.command, clear: () => iptables.clear(chains) }];
}

function nftablesPlace(family: Family): Place {
  return { name: `nftables (${family})`, clear: async () => clearTable(family) };
}

/** Without masquerading pods reach nothing outside; where FORWARD accepts anyway, the forward rules change nothing. */
function lackOf(family: Family, ipMasq: boolean): string {
  const command = family === 'ipv4' ? 'iptables' : 'ip6tables';
  const what = `${command}: command not found in PATH; install iptables (apt-get install iptables), or set EnableNFTables to true in net-conf`;
  if (ipMasq) throw new UserError(`${what}: --ip-masq needs it`);
  return `${what}: the rules of --iptables-forward-rules are not there`;
}
