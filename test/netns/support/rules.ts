/** Firewalls of a node: the available commands, the rules in force, and Weft's changes to them. */

import { mkdir, symlink } from 'node:fs/promises';
import type { Test } from 'tap';
import type { LabNode } from '../../../lab/node.js';
import { LabProcess } from '../../../lab/process.js';
import { DIST } from '../../../lab/world.js';
import type { FirewallOptions } from '../../../src/control/firewall/rules.js';
import type { FirewallJob } from '../peer/firewall.js';

/** The back end of a machine's iptables, or none. */
export type BackEnd = 'nft' | 'legacy' | 'none';

export const BACK_ENDS = ['nft', 'legacy'] as const;

export const V4 = {
  family: 'ipv4',
  network: '10.244.0.0/16',
  subnet: '10.244.1.0/24',
  previous: undefined,
} as const;

export const V6 = {
  family: 'ipv6',
  network: 'fd00:10:244::/56',
  subnet: 'fd00:10:244:1::/64',
  previous: undefined,
} as const;

export const OPTIONS: FirewallOptions = {
  mode: 'iptables',
  families: ['ipv4'],
  ipMasq: true,
  forwardRules: true,
  fullyRandom: true,
  resyncSeconds: 0.2,
};

/** Both families. */
export const BOTH = {
  options: { ...OPTIONS, families: ['ipv4', 'ipv6'] },
  ranges: [V4, V6],
} as const;

/** Returns a PATH with this back end's iptables alone, and nft if asked for. */
export async function pathOf(node: LabNode, backEnd: BackEnd, nft: boolean): Promise<string> {
  const dir = `${node.dir}/path-${backEnd}-${nft}`;
  await mkdir(dir).catch(() => undefined);
  const names = ['iptables', 'iptables-restore', 'ip6tables', 'ip6tables-restore'];
  const links = backEnd === 'none' ? [] : names.map((name) => [name, `xtables-${backEnd}-multi`]);
  if (nft) links.push(['nft', 'nft']);
  for (const [name, to] of links) await symlink(`/usr/sbin/${to}`, `${dir}/${name}`).catch(() => undefined);
  return dir;
}

export interface Commands {
  readonly backEnd: BackEnd;
  /** Whether nft exists; true by default. */
  readonly nft?: boolean;
}

/** Starts a firewall program on a node; the end of the test stops it. */
export async function startFirewall(
  t: Test,
  node: LabNode,
  { backEnd, nft = true }: Commands,
  job: Partial<FirewallJob>,
  under: readonly string[] = [],
): Promise<LabProcess> {
  const path = await pathOf(node, backEnd, nft);
  const program = `${DIST}test/netns/peer/firewall.js`;
  const running = new LabProcess(
    [...under, 'env', `PATH=${path}`, process.execPath, program, JSON.stringify({ ranges: [V4], ...job })],
    { netns: node.netns, name: `firewall on ${node.name}` },
  );
  t.teardown(async () => {
    await running.stop();
    if (!t.passing()) t.comment(`${running.name} logged:\n${running.tail()}`);
  });
  return running;
}

/** Applies the rules, ends, and returns the log. */
export async function applyOnce(
  t: Test,
  node: LabNode,
  commands: Commands,
  job: Partial<FirewallJob> = { options: OPTIONS },
): Promise<string> {
  const running = await startFirewall(t, node, commands, job);
  await running.waitFor(/^(applied|removed: .*)$/m);
  await running.stop();
  return running.output;
}

/** Starts a process that holds the lock of legacy iptables until it is stopped. */
export async function holdLock(t: Test): Promise<LabProcess> {
  const held = ['sh', '-c', 'echo held; exec sleep 60'];
  const holder = new LabProcess(['flock', '--no-fork', '/run/xtables.lock', ...held]);
  t.teardown(() => holder.stop());
  await holder.waitFor(/held/);
  return holder;
}

/** Returns the rules of an iptables chain in nf_tables, as nft prints them. */
export async function printedByNft(node: LabNode, chain: string): Promise<string[]> {
  const { stdout } = await node.exec(['nft', '--stateless', 'list', 'chain', 'ip', ...chain.split(' ')]);
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('\t\t') && !line.includes(' hook '))
    .map((line) => line.trim());
}

/** Returns the lines of `iptables-save` for a table, without comments, counters and foreign chains. */
export async function saved(
  node: LabNode,
  backEnd: 'nft' | 'legacy',
  table: 'nat' | 'filter',
  command: 'iptables' | 'ip6tables' = 'iptables',
): Promise<string[]> {
  const { stdout } = await node.exec([`${command}-${backEnd}-save`, '-t', table]);
  return stdout.split('\n').filter((line) => line.startsWith('-A ') || line.startsWith(':FLANNEL'));
}

/** Returns these lines for each table with rules of Weft: nat and filter of IPv4, then of IPv6. */
export async function allSaved(node: LabNode, backEnd: 'nft' | 'legacy'): Promise<string[][]> {
  const tables: string[][] = [];
  for (const command of ['iptables', 'ip6tables'] as const) {
    for (const table of ['nat', 'filter'] as const) tables.push(await saved(node, backEnd, table, command));
  }
  return tables;
}

/** Returns the tables of nftables that iptables does not own, sorted. */
export async function ruleset(node: LabNode): Promise<string[]> {
  const { stdout } = await node.exec(['nft', 'list', 'ruleset']);
  return stdout
    .split(/^(?=table |# Warning)/m)
    .filter((part) => part.startsWith('table ') && !/^table ip6? (nat|filter) /.test(part))
    .sort();
}
