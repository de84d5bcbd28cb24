/** Where rules of ours can be on this machine: two firewalls, two families, and iptables in two back ends. */

import { FAMILIES, type Family } from '../address.js';
import { info, warn } from '../log.js';
import { UserError } from '../user-error.js';
import { CHAINS, type Chain, Iptables } from './iptables.js';
import { clearIptablesChains, clearTable, Nftables, probeNftables } from './nftables.js';
import { type FirewallOptions, NO_RULES, type Tables } from './wanted.js';

/** Seconds to wait for the lock that other users of iptables hold (/run/xtables.lock): as long as kube-proxy does. */
const WAIT_S = 5;

/** A place that is to have no rules of ours. */
export interface Place {
  readonly name: string;
  /** Removes them; true when there were some. @throws Error */
  readonly clear: () => Promise<boolean>;
}

export interface Places {
  /** Where the wanted rules of a family go. */
  used: ReadonlyMap<Family, Tables>;
  unused: readonly Place[];
}

/** Changes nothing. @throws UserError when rules are wanted and there is no way to make them */
export async function placesFor(options: FirewallOptions): Promise<Places> {
  return options.mode === 'nftables' ? await inNftables(options) : await inIptables(options);
}

/** Everything that may hold rules of ours, whatever made them. */
export async function everywhere(): Promise<Place[]> {
  return [...(await allIptables()), ...FAMILIES.map(nftablesPlace)];
}

async function inIptables(options: FirewallOptions): Promise<Places> {
  const { ipMasq, forwardRules, fullyRandom, resyncSeconds, families } = options;
  const asked = { masq: ipMasq, forward: forwardRules };
  const used = new Map<Family, Tables>();
  const unused = FAMILIES.map(nftablesPlace);
  // Who waits longer than until the next look only queues up.
  const wanted = { randomFully: fullyRandom, waitSeconds: Math.min(WAIT_S, resyncSeconds) };
  for (const family of FAMILIES) {
    const [main, ...others] = await Iptables.find(family, wanted);
    unused.push(...withoutCommand(family, [main, ...others]));
    const holds = families.includes(family) && (ipMasq || forwardRules);
    if (holds && main === undefined) reportMissing(family, ipMasq);
    else if (holds && main !== undefined) used.set(family, main);
    const idle = holds ? CHAINS.filter(({ set }) => !asked[set]) : CHAINS;
    unused.push(...iptablesPlaces(main, idle), ...others.flatMap((other) => iptablesPlaces(other)));
  }
  return { used, unused };
}

async function inNftables(options: FirewallOptions): Promise<Places> {
  const { ipMasq, forwardRules, fullyRandom, families } = options;
  if (!ipMasq && !forwardRules) return { used: new Map(), unused: await everywhere() };
  const able = await probeNftables();
  if ('refused' in able) {
    throw new UserError(
      `no nftables support: nft: ${able.refused}; install nftables (apt-get install nftables), or set EnableNFTables to false in net-conf`,
    );
  }
  if (fullyRandom && !able.randomFully) info('nftables: random fully unsupported');
  const tables = FAMILIES.map(
    (family) => [family, new Nftables(family, fullyRandom && able.randomFully)] as const,
  );
  return {
    used: new Map(tables.filter(([family]) => families.includes(family))),
    unused: [
      ...(await allIptables()),
      // flannel has both tables always, one of them empty.
      ...tables
        .filter(([family]) => !families.includes(family))
        .map(([family, table]) => ({
          ...nftablesPlace(family),
          clear: () => table.write(NO_RULES).then(() => true),
        })),
    ],
  };
}

async function allIptables(): Promise<Place[]> {
  const places = await Promise.all(
    FAMILIES.map(async (family) => {
      const found = await Iptables.find(family, { randomFully: false, waitSeconds: WAIT_S });
      return [...found.flatMap((iptables) => iptablesPlaces(iptables)), ...withoutCommand(family, found)];
    }),
  );
  return places.flat();
}

/** What an iptables that is not there any more may have left in nf_tables. */
function withoutCommand(family: Family, found: readonly (Iptables | undefined)[]): Place[] {
  if (found.some((iptables) => iptables?.backEnd === 'nf_tables')) return [];
  return [{ name: `iptables in nftables (${family})`, clear: () => clearIptablesChains(family) }];
}

function iptablesPlaces(iptables: Iptables | undefined, chains: readonly Chain[] = CHAINS): Place[] {
  if (iptables === undefined || chains.length === 0) return [];
  return [{ name: iptables.command, clear: () => iptables.clear(chains) }];
}

function nftablesPlace(family: Family): Place {
  return { name: `nftables (${family})`, clear: async () => clearTable(family) };
}

/** Without masquerading pods reach nothing outside; where FORWARD accepts anyway, the forward rules change nothing. */
function reportMissing(family: Family, ipMasq: boolean): void {
  const command = family === 'ipv4' ? 'iptables' : 'ip6tables';
  const what = `${command}: command not found in PATH; install iptables (apt-get install iptables), or set EnableNFTables to true in net-conf`;
  if (ipMasq) throw new UserError(`${what}: --ip-masq needs it`);
  warn(`${what}: the rules of --iptables-forward-rules are not there`);
}
