/** A node in service: sets it up, follows the leases, keeps it as it should be, answers the control socket, takes it down. */

import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { releaseFilePages } from '../sys/pages.js';
import { version } from '../version.js';
import type { Firewall } from './firewall/firewall.js';
import type { ControlRequest } from './ipc/protocol.js';
import { ControlServer } from './ipc/server.js';
import { type RunState, readRunState, writeRunState } from './journal.js';
import { deleteRoutes } from './kernel/ip.js';
import type { Change } from './kernel/monitor.js';
import type { LeaseSets } from './leases/lease.js';
import type { LeaseSource } from './leases/source.js';
import { Watchman } from './node/drift-monitor.js';
import type { Stack } from './node/family-tunnel.js';
import { collectStatus } from './node/status.js';
import type { RunOptions } from './options.js';
import type { Plan } from './plan.js';
import { type PodSubnets, writeSubnetEnv } from './subnet-env.js';
import { deferred } from './support/deferred.js';
import { info, warn } from './support/log.js';
import { show, UserError } from './support/user-error.js';

/** How long the firewall's rules may keep a node from being ready: whoever holds their lock may do so for long. */
const RULES_MS = 1000;

/** flannel's words for a node whose subnet.env is not written yet. */
export const NOT_READY = 'flanneld is not ready yet';

export interface Parts {
  plan: Plan;
  options: RunOptions;
  source: LeaseSource;
  firewall: Firewall;
  /** One for each family, open. */
  stacks: readonly Stack[];
}

/** The running weft: from the opened dataplanes to the last closed descriptor. */
export class Service {
  private readonly parts: Parts;
  /** Resolves when weft is to leave, rejects when it cannot go on. */
  private readonly over = deferred();
  /** Resolves when everything but the control socket is gone. */
  private readonly down = deferred();
  private refused: string | null = null;
  private ready = false;
  private stopping = false;
  private saved: RunState | undefined;
  /** One writer at a time. */
  private saving: Promise<void> = Promise.resolve();

  constructor(parts: Parts, leaving: AbortSignal) {
    this.parts = parts;
    if (leaving.aborted) this.over.resolve();
    leaving.addEventListener('abort', this.over.resolve, { once: true });
  }

  /** Why this node is not ready, in flannel's words until it is for the first time; null when it is. */
  get obstacle(): string | null {
    if (!this.ready) return NOT_READY;
    return this.parts.stacks.find(({ trouble }) => trouble)?.trouble ?? this.parts.source.notReady;
  }

  async run(): Promise<void> {
    const { over } = this;
    const { options, source, firewall, stacks } = this.parts;
    const server = await ControlServer.listen(options.runDir, (request) => this.answer(request));
    // Those of a weft that was killed; its device took the others along.
    await deleteRoutes((await readRunState(options.runDir))?.routes ?? []);
    let watchman: Watchman | undefined;
    try {
      await Promise.all(stacks.map((stack) => this.startTunnel(stack)));
      // Whoever wants it to leave need not wait until ten thousand peers are set up.
      await Promise.race([this.begin(), over.promise]);
      if (!this.stopping) watchman = new Watchman(this);
      await over.promise;
    } finally {
      this.stopping = true;
      watchman?.close();
      await source.close();
      await Promise.all([...stacks.map(({ node }) => node.stop()), firewall.close()]);
      await deleteRoutes(stacks.flatMap((stack) => stack.looseRoutes()));
      await Promise.all(stacks.map((stack) => stack.stop()));
      // Routes of the same kind are whoever's takes over.
      await this.saving.then(() => this.writeState([])).catch(() => {});
      this.down.resolve();
      await server.close();
    }
  }

  private startTunnel(stack: Stack): Promise<void> {
    return stack.startTunnel({ onFailure: this.over.reject, onState: () => this.saveState() });
  }

  private async begin(): Promise<void> {
    const { plan, source, firewall, stacks } = this.parts;
    await Promise.all(stacks.map((stack) => stack.startNode()));
    // Behind it: the rules of an earlier run are there still, and no new pod is before subnet.env is.
    await this.applyRules();
    if (this.stopping) return;
    firewall.watch();
    await this.saveState();
    await this.writeSubnetEnv();
    this.ready = true;
    info('flannel is ready');
    info('Running backend.');
    info(
      plan.netConf.backend.type === 'udp'
        ? 'Watching for new subnet leases'
        : 'watching for new subnet leases',
    );
    source.watch({
      onLeases: (sets) => this.follow(sets),
      onRefused: (error) => this.refuse(error),
      onRevoked: (reason) => {
        warn(reason);
        this.over.resolve();
      },
    });
    source.markReady();
    info(`ready: ${stacks.map(({ summary }) => summary).join('; ')}`);
    releaseFilePages();
  }

  /** They go on being put in place when this is over. */
  private async applyRules(): Promise<void> {
    const { firewall, stacks } = this.parts;
    const applied = stacks.map((stack) => firewall.apply(stack.firewallRange(this.previousRange(stack))));
    await Promise.race([Promise.all(applied), delay(RULES_MS, undefined, { ref: false })]);
  }

  /** What this node had before, by its subnet.env. */
  private previousRange({ plan: { family } }: Stack): PodSubnets | undefined {
    const { network, subnet } = this.parts.plan.previous[family] ?? {};
    return network && subnet && { network, subnet };
  }

  private async writeSubnetEnv(): Promise<void> {
    const { plan, options, stacks } = this.parts;
    const networks = Object.fromEntries(stacks.map((stack) => [stack.plan.family, stack.podSubnets]));
    await writeSubnetEnv(options.subnetFile, { networks, mtu: plan.podMtu, ipMasq: options.rules.ipMasq });
    info(`Wrote subnet file to ${options.subnetFile}`);
  }

  /** Notes what `weft cleanup` and the next start have to know of, where it has changed. */
  private saveState(): Promise<void> {
    const done = this.saving.then(() => this.writeState());
    this.saving = done.catch(() => {});
    return done;
  }

  private async writeState(
    routes = this.parts.stacks.flatMap((stack) => stack.looseRoutes()),
  ): Promise<void> {
    const { options, stacks } = this.parts;
    const state: RunState = {
      pid: process.pid,
      devices: stacks.map(({ device }) => device),
      subnetFile: options.subnetFile,
      routes,
    };
    if (isDeepStrictEqual(state, this.saved)) return;
    await writeRunState(options.runDir, state);
    this.saved = state;
  }

  concerns(change: Change): boolean {
    const { kind, text } = change;
    const isUnderlay =
      (kind === 'LINK' || kind === 'ADDR') && text.includes(this.parts.plan.underlay.link.name);
    return isUnderlay || this.parts.stacks.some((stack) => stack.concerns(change));
  }

  get deviates(): boolean {
    return this.parts.stacks.some((stack) => stack.deviates);
  }

  async check(): Promise<void> {
    const outcomes = await Promise.allSettled(this.parts.stacks.map((stack) => stack.check()));
    await this.saveState();
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  private async follow(sets: LeaseSets): Promise<void> {
    let moved = false;
    for (const stack of this.parts.stacks) {
      const set = sets[stack.plan.family];
      const before = stack.podSubnets;
      if (set === undefined || !(await stack.follow(set))) continue;
      moved = true;
      void this.parts.firewall.apply(stack.firewallRange(before));
    }
    if (moved && !this.stopping) await this.writeSubnetEnv();
    this.refused = null;
    await this.saveState();
  }

  private refuse(error: Error): void {
    this.refused = error.message;
    warn(`leases refused, the last good ones stay in force: ${error.message}`);
  }

  private async answer(request: ControlRequest): Promise<unknown> {
    const { plan, options, source, firewall, stacks } = this.parts;
    switch (request.command) {
      case 'status':
        return collectStatus({
          version: version(),
          backend: plan.netConf.backend,
          workers: options.workers,
          leaseSource: { name: source.name, refused: this.refused, trouble: source.notReady },
          stacks: stacks.map((stack) => stack.status()),
          ruleRepairs: firewall.repairs,
        });
      case 'leave':
        info('weft cleanup: leaving');
        this.over.resolve();
        return this.down.promise;
      default:
        throw new UserError(`unknown request ${show(request)}; is this another version of weft?`);
    }
  }
}
