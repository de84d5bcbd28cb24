/** Obstacles in the node's firewalls: chains that drop pod traffic or the tunnel's datagrams, the other iptables. */

import { type Cidr, formatCidr, lastOf } from '../addresses/cidr.js';
import type { Family } from '../addresses/family.js';
import type { Ip } from '../addresses/ip.js';
import type { Iptables } from '../firewall/iptables.js';
import { findIptables, type IptablesChoice, WAIT_S } from '../firewall/locations.js';
import type { FirewallOptions } from '../firewall/rules.js';
import { shellWord } from '../support/printable.js';
import { type BaseChain, readBaseChains } from './filter/base-chains.js';
import { type Packet, POD_SIDE } from './filter/packet.js';
import { walk } from './filter/walk.js';
import type { FamilyFacts, Obstacle, ObstacleCheck } from './obstacle.js';

/** Ports that no rule of a real firewall names: of the sample packets. */
const SOME_PORT = 50_321;
const OTHER_PORT = 50_322;

/** The chains of the tunnel's datagrams are followed for this many peers. */
const SAMPLE_PEERS = 16;

/** What the check knows of Weft's own rules. */
export interface UsedFirewall {
  options: FirewallOptions;
  /** The iptables of each family, as chosen at the start. A family without rules in iptables has none. */
  choices: ReadonlyMap<Family, IptablesChoice>;
}

/** Returns the check of all firewalls. Weft's own rules may accept forwarded pod traffic. */
export function firewallCheck({ options, choices }: UsedFirewall): ObstacleCheck {
  return async (facts, signal) => {
    const { family } = facts;
    const { main, others } =
      choices.get(family) ?? (await findIptables(family, { waitSeconds: WAIT_S, signal }));
    const cured = options.mode === 'iptables' && options.forwardRules ? main?.backEnd : undefined;
    const chains = await readBaseChains(family, main === undefined ? others : [main, ...others], signal);
    const found = chains.map((chain) =>
      chain.hook === 'forward'
        ? forwardObstacle(facts, chain, chain.iptables !== undefined && chain.iptables.backEnd === cured)
        : tunnelObstacle(facts, chain, chain.hook),
    );
    if (cured !== undefined && main !== undefined) found.push(await kubeletObstacle(family, main, others));
    return found.filter((obstacle) => obstacle !== undefined);
  };
}

/** Kubelet may start after Weft, which chose its back end at the start. */
async function kubeletObstacle(
  family: Family,
  main: Iptables,
  others: readonly Iptables[],
): Promise<Obstacle | undefined> {
  for (const other of others) {
    if (await other.isForbidden())
      return {
        key: `forbidden ${family}`,
        message: `Weft cannot read the rules of ${other.command} and may use the wrong iptables, because it lacks CAP_NET_RAW; restart Weft, which keeps it where legacy iptables is in use; if it still lacks it, grant it in the unit or in the container's manifest`,
      };
    if (!(await other.hasKubelet()) || (await main.hasKubelet())) continue;
    return {
      key: `kubelet ${family}`,
      message: `kubelet's chains are in ${other.backEnd}, but Weft's rules are in ${main.backEnd} of ${main.command}; restart Weft, so that it uses ${other.command}`,
      fix: 'systemctl restart weft',
    };
  }
  return undefined;
}

/** `cured`: Weft's own rule accepts pod traffic at the end of this chain. */
function forwardObstacle(facts: FamilyFacts, chain: BaseChain, cured: boolean): Obstacle | undefined {
  const reason = podPackets(facts)
    .map((packet) => dropReason(chain, packet, cured))
    .find((found) => found !== undefined);
  if (reason === undefined) return undefined;
  const network = formatCidr(facts.network);
  return {
    key: `firewall forward ${facts.family} ${chain.label}`,
    message: `${chain.label} drops pod traffic of ${network} (${reason})${cured ? " before Weft's rules accept it" : ''}; ${forwardRemedy(facts.family, chain, network)}`,
    fix: forwardCommands(facts.family, chain, network).join(' && '),
  };
}

function tunnelObstacle(
  facts: FamilyFacts,
  chain: BaseChain,
  hook: 'input' | 'output',
): Obstacle | undefined {
  const { family, underlay, port } = facts;
  if (chain.devices?.includes(underlay) === false) return undefined;
  const arrives = hook === 'input';
  const reason = tunnelPackets(facts, arrives)
    .map((packet) => dropReason(chain, packet, false))
    .find((found) => found !== undefined);
  if (reason === undefined) return undefined;
  const fix = chain.iptables
    ? `${chain.iptables.command} -I ${chain.name} ${arrives ? '-i' : '-o'} ${shellWord(underlay)} -p udp --dport ${port} -j ACCEPT`
    : `nft insert rule ${chain.table} ${chain.name} udp dport ${port} accept`;
  const drops = arrives
    ? `drops the datagrams of peers to UDP port ${port}`
    : `drops the datagrams to UDP port ${port} of peers`;
  return {
    key: `firewall ${hook} ${family} ${chain.label}`,
    message: `${chain.label} ${drops} on ${underlay} (${reason}); open the port: ${fix}`,
    fix,
  };
}

/** Returns why the chain surely drops the packet; undefined if it may pass. */
function dropReason(chain: BaseChain, packet: Packet, cured: boolean): string | undefined {
  const fate = walk(chain.chains, chain.name, packet);
  if (fate.name === 'drop') return `rule ${fate.rule}`;
  if (fate.name === 'pass' && chain.drops && !cured) return 'its policy is DROP';
  return undefined;
}

function forwardRemedy(family: Family, chain: BaseChain, network: string): string {
  const [first, second] = forwardCommands(family, chain, network);
  if (chain.iptables !== undefined) return `accept it first: ${first}; ${second}`;
  return `accept it there: ${first}${isFirewalld(chain) ? ', then' : ';'} ${second}`;
}

/** Returns the two commands that let pod traffic pass. */
function forwardCommands(family: Family, chain: BaseChain, network: string): [string, string] {
  const { iptables, name, table } = chain;
  if (iptables !== undefined) {
    const accept = (flag: string) => `${iptables.command} -I ${name} ${flag} ${network} -j ACCEPT`;
    return [accept('-s'), accept('-d')];
  }
  if (isFirewalld(chain))
    return [`firewall-cmd --permanent --zone=trusted --add-source=${network}`, 'firewall-cmd --reload'];
  const field = family === 'ipv4' ? 'ip' : 'ip6';
  const accept = (side: string) => `nft insert rule ${table} ${name} ${field} ${side} ${network} accept`;
  return [accept('saddr'), accept('daddr')];
}

function isFirewalld({ table }: BaseChain): boolean {
  return table?.endsWith(' firewalld') === true;
}

/** Returns a packet from another node's pod to one of this node, and the reverse. */
function podPackets({ family, device, network, subnet, peers }: FamilyFacts): Packet[] {
  const here = podOf(subnet);
  const away = peers[0] === undefined ? otherPod(network, subnet) : podOf(peers[0].subnet);
  const rest = { family, protocol: 'tcp', sourcePort: SOME_PORT, destinationPort: OTHER_PORT } as const;
  return [
    { ...rest, iif: device, oif: POD_SIDE, source: away, destination: here },
    { ...rest, iif: POD_SIDE, oif: device, source: here, destination: away },
  ];
}

/** Returns a first datagram of each sample peer, or to each. */
function tunnelPackets({ family, underlay, address, port, peers }: FamilyFacts, arrives: boolean): Packet[] {
  const others =
    peers.length === 0 ? [undefined] : peers.slice(0, SAMPLE_PEERS).map(({ publicIp }) => publicIp);
  const rest = { family, protocol: 'udp', sourcePort: SOME_PORT, destinationPort: port } as const;
  return others.map((peer) =>
    arrives
      ? { ...rest, iif: underlay, oif: '', source: peer, destination: address }
      : { ...rest, iif: '', oif: underlay, source: address, destination: peer },
  );
}

/** Returns the last address of a subnet that a pod can have: mostly no pod has it, and no policy is about it. */
function podOf(subnet: Cidr): Ip {
  return plus(lastOf(subnet), -1);
}

/** Returns an address of the pod network outside this subnet. */
function otherPod(network: Cidr, subnet: Cidr): Ip {
  const last = podOf(network);
  return last === podOf(subnet) ? plus(network.base, 2) : last;
}

function plus(ip: Ip, count: number): Ip {
  return typeof ip === 'bigint' ? ip + BigInt(count) : ip + count;
}
