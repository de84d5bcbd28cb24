/**
 * `weft run`: checks everything, gets the node its lease, opens the dataplane, sets up the node, follows the leases, and
 * takes it all down again.
 */

import { valueIn } from './addresses/family.js';
import { Firewall } from './firewall/firewall.js';
import { refuseRunning } from './ipc/server.js';
import { ipRun } from './kernel/ip.js';
import type { LeaseSets } from './leases/lease.js';
import type { LeaseSource } from './leases/source.js';
import { sourceFor } from './leases/source-for.js';
import { Stack } from './node/family-tunnel.js';
import type { RunOptions } from './options.js';
import { announce, firewallOptions, makePlan, type Plan, refuseTakenPort } from './plan.js';
import { NOT_READY, Service } from './service.js';
import { info, warn } from './support/log.js';

/** Runs until SIGTERM, SIGINT or `weft cleanup`. @throws UserError; then nothing of what was made is left */
export async function runDaemon(options: RunOptions): Promise<void> {
  const leaving = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (leaving.signal.aborted) return;
      info('shutdownHandler sent cancel signal...');
      leaving.abort();
    });
  }
  const source = await sourceFor(options.source);
  let service: Service | undefined;
  const health = await listenHealth(options, () => (service === undefined ? NOT_READY : service.obstacle));
  try {
    service = await start(options, source, leaving.signal);
    await service.run();
  } catch (error) {
    // Whoever was told to leave while he waited had nothing yet that could fail.
    if (service !== undefined || !leaving.signal.aborted) throw error;
  } finally {
    await source.close();
    await health?.close();
  }
  info('Exiting cleanly...');
}

/** Loaded by the few who ask for it. */
async function listenHealth(
  { health }: RunOptions,
  obstacle: () => string | null,
): Promise<{ close(): Promise<void> } | undefined> {
  if (health.port === 0) return undefined;
  const { listenHealth } = await import('./health.js');
  return await listenHealth(health, obstacle);
}

/** From an unknown cluster to a dataplane that is open. */
async function start(options: RunOptions, source: LeaseSource, signal: AbortSignal): Promise<Service> {
  const cluster = await source.open(signal);
  // It asks half a dozen commands what they are, which takes as long as all of the plan.
  const opening = Firewall.open(firewallOptions(options, cluster.netConf));
  opening.catch(() => {});
  const plan = await makePlan(options, cluster);
  await refuseRunning(options.runDir);
  const firewall = await opening;
  for (const lack of firewall.lacks) warn(lack);
  // Before the lease is published: no peer is to send to a node that cannot listen.
  for (const stack of plan.stacks) refuseTakenPort(stack, plan.links, stack.side);
  const sets = await source.acquire(plan.request, signal);
  for (const { adopted } of plan.stacks) {
    if (adopted === undefined) continue;
    info(`${adopted.name}, the kernel's vxlan device with MAC ${adopted.mac}, makes room for weft's`);
    await ipRun([`link delete ${adopted.name}`]);
  }
  const stacks = await openStacks(plan, options, sets);
  announce(plan);
  return new Service({ plan, options, source, firewall, stacks }, signal);
}

/** @throws UserError; then nothing is left behind */
async function openStacks(
  { stacks: plans, links }: Plan,
  options: RunOptions,
  sets: LeaseSets,
): Promise<Stack[]> {
  const stacks: Stack[] = [];
  try {
    for (const plan of plans) stacks.push(new Stack(plan, links, options, valueIn(sets, plan.family)));
    return stacks;
  } catch (error) {
    for (const stack of stacks) await stack.stop();
    throw error;
  }
}
