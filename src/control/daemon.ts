/**
 * `weft run`: checks everything, gets the node its lease, opens the dataplane, sets up the node, follows the leases, and
 * takes it all down again.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { Dataplane, PortFailure, RungUnavailable } from '../dataplane/dataplane.js';
import { releaseFilePages } from '../dataplane/sys/pages.js';
import { SystemError } from '../dataplane/sys/system-error.js';
import { version } from '../version.js';
import { deferred } from './deferred.js';
import type { ControlRequest } from './ipc/protocol.js';
import { ControlServer, refuseRunning } from './ipc/server.js';
import { formatIpv4 } from './ipv4.js';
import type { Lease, LeaseSet } from './leases/lease.js';
import type { LeaseSource } from './leases/source.js';
import { sourceFor } from './leases/source-for.js';
import { info, warn } from './log.js';
import { DeviceGone, refuseExisting } from './network/device.js';
import { deleteRoutes, ipRun } from './network/ip.js';
import { readLinks } from './network/links.js';
import { Node } from './node/node.js';
import { collectStatus } from './node/status.js';
import { Watchman } from './node/watchman.js';
import type { RunOptions } from './options.js';
import { announce, boundAddress, explain, makePlan, type Plan, refuseTakenPort } from './plan.js';
import { type RunState, readRunState, writeRunState } from './run-state.js';
import { show, UserError } from './user-error.js';

/** flannel's words for a node whose subnet.env is not written yet. */
const NOT_READY = 'flanneld is not ready yet';

/** How long the underlay's address may be away. */
const UNDERLAY_GRACE_MS = 2000;

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
  let daemon: Daemon | undefined;
  const health = await listenHealth(options, () => (daemon === undefined ? NOT_READY : daemon.obstacle));
  try {
    daemon = await start(options, source, leaving.signal);
    await daemon.run();
  } catch (error) {
    // Whoever was told to leave while he waited had nothing yet that could fail.
    if (daemon !== undefined || !leaving.signal.aborted) throw error;
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
async function start(options: RunOptions, source: LeaseSource, signal: AbortSignal): Promise<Daemon> {
  const plan = await makePlan(options, await source.open(signal));
  await refuseRunning(options.runDir);
  // Before the lease is published: no peer is to send to a node that cannot listen.
  refuseTakenPort(plan, plan.request);
  const set = await source.acquire(plan.request, signal);
  if (plan.adopted !== undefined) {
    const { name, mac } = plan.adopted;
    info(`${name}, the kernel's vxlan device with MAC ${mac}, makes room for weft's`);
    await ipRun([`link delete ${name}`]);
  }
  const dataplane = openDataplane(plan, options, set.own);
  announce(plan);
  return new Daemon(plan, options, source, set, dataplane, signal);
}

function openDataplane(plan: Plan, options: RunOptions, own: Lease): Dataplane {
  const { backend, mtu, peerCheck } = plan;
  const address = boundAddress(plan, own);
  try {
    return new Dataplane({
      device: backend.device,
      address: address | 0,
      port: backend.conf.port,
      workers: options.workers,
      offload: options.offload,
      busyPoll: options.busyPoll,
      mtu,
      tunnel: backend.tunnel(own, peerCheck),
    });
  } catch (error) {
    if (error instanceof RungUnavailable)
      throw new UserError(`--offload ${options.offload}: ${error.message}; use --offload auto`);
    throw error instanceof SystemError ? explain(error, plan, address) : error;
  }
}

function peers(count: number): string {
  return count === 1 ? '1 peer' : `${count} peers`;
}

/** The running daemon: from the opened dataplane to the last closed descriptor. */
class Daemon {
  private readonly plan: Plan;
  private readonly options: RunOptions;
  private readonly source: LeaseSource;
  private readonly first: LeaseSet;
  private dataplane: Dataplane;
  private readonly node: Node;
  /** Resolves when weft is to leave, rejects when it cannot go on. */
  private readonly over = deferred();
  /** Resolves when everything but the control socket is gone. */
  private readonly down = deferred();
  private refused: string | null = null;
  private ready = false;
  private rebuilding = false;
  private index: number | undefined;
  private saved: RunState | undefined;
  /** Counters of dataplanes whose device was deleted. */
  private past: Record<string, number> = {};

  constructor(
    plan: Plan,
    options: RunOptions,
    source: LeaseSource,
    first: LeaseSet,
    dataplane: Dataplane,
    leaving: AbortSignal,
  ) {
    const { netConf, backend, mtu } = plan;
    const { subnetFile, rules } = options;
    this.plan = plan;
    this.options = options;
    this.source = source;
    this.first = first;
    this.dataplane = dataplane;
    this.node = new Node({ netConf, backend, mtu, subnetFile, ipMasq: rules.ipMasq }, dataplane, first.own);
    if (leaving.aborted) this.over.resolve();
    leaving.addEventListener('abort', this.over.resolve, { once: true });
  }

  /** Why this node is not ready, in flannel's words until it is for the first time; null when it is. */
  get obstacle(): string | null {
    return this.ready ? this.source.trouble : NOT_READY;
  }

  async run(): Promise<void> {
    const { options, node, over } = this;
    const server = await ControlServer.listen(options.runDir, (request) => this.answer(request));
    // Those of a weft that was killed; its device took the others along.
    await deleteRoutes((await readRunState(options.runDir))?.routes ?? []);
    let watchman: Watchman | undefined;
    try {
      await this.startDataplane();
      // Whoever wants it to leave need not wait until ten thousand peers are set up.
      await Promise.race([this.begin(), over.promise]);
      if (!node.stopped) watchman = new Watchman(this);
      await over.promise;
    } finally {
      watchman?.close();
      await this.source.close();
      await node.stop();
      await deleteRoutes(node.overlay.looseRoutes());
      await this.dataplane.stop();
      this.down.resolve();
      await server.close();
    }
  }

  private async startDataplane(): Promise<void> {
    const { device } = this.plan.backend;
    this.index = (await readLinks()).find(({ name }) => name === device)?.index;
    await this.saveState();
    await this.dataplane.start({
      onFailure: (error) => this.fail(error),
      onStepDown: (code) =>
        warn(`offload: the kernel refuses trains of datagrams (${code}); each is sent alone from now on`),
    });
  }

  private async begin(): Promise<void> {
    const { plan, node, source } = this;
    await node.start(this.first.peers);
    if (node.stopped) return;
    await this.saveState();
    this.ready = true;
    source.watch({
      onLeases: (set) => this.follow(set),
      onRefused: (error) => this.refuse(error),
      onRevoked: (reason) => {
        warn(reason);
        this.over.resolve();
      },
    });
    source.markReady();
    info(
      `ready: ${plan.backend.device} is up with ${formatIpv4(node.own.subnet.base)}/32, ${peers(node.peers.length)}`,
    );
    releaseFilePages();
  }

  /** Notes what `weft cleanup` and the next start have to know of, where it has changed. */
  private async saveState(): Promise<void> {
    const state: RunState = {
      pid: process.pid,
      device: this.plan.backend.device,
      index: this.index,
      subnetFile: this.options.subnetFile,
      routes: this.node.overlay.looseRoutes(),
    };
    if (isDeepStrictEqual(state, this.saved)) return;
    await writeRunState(this.options.runDir, state);
    this.saved = state;
  }

  private fail(error: Error): void {
    if (!(error instanceof PortFailure)) this.over.reject(error);
    else if (error.port === 'underlay')
      this.over.reject(
        new UserError(`${error.message}: was ${this.plan.underlay.link.name} deleted? Start weft again`),
      );
    else if (!this.rebuilding) this.rebuild(error).catch(this.over.reject);
  }

  /** Someone has deleted the device: another takes its place, with all its addresses, neighbours and routes. */
  private async rebuild(failure: PortFailure): Promise<void> {
    this.rebuilding = true;
    warn(`${failure.message}; making it anew`);
    await this.node.rebuild(async () => {
      this.past = this.counters();
      await this.dataplane.stop();
      refuseExisting(await readLinks(), this.plan.backend.device);
      this.dataplane = openDataplane(this.plan, this.options, this.node.own);
      await this.startDataplane();
      return this.dataplane;
    });
    this.rebuilding = false;
  }

  private counters(): Record<string, number> {
    const counters = Object.entries(this.dataplane.counters());
    return Object.fromEntries(counters.map(([name, value]) => [name, value + (this.past[name] ?? 0)]));
  }

  /** Lines of links and addresses begin with the link's index: `2: eth0 ...`. */
  concerns(line: string): boolean {
    const isUnderlay = /^(Deleted )?[0-9]+: /.test(line) && line.includes(this.plan.underlay.link.name);
    return isUnderlay || this.node.overlay.concerns(line);
  }

  async check(): Promise<void> {
    await this.checkUnderlay();
    try {
      await this.node.check();
      await this.saveState();
    } catch (error) {
      // Its thread says so too, and then it is made anew.
      if (!(error instanceof DeviceGone)) throw error;
    }
  }

  /** The socket is bound to an address: without it no packet comes any more. */
  private async checkUnderlay(): Promise<void> {
    if (await this.hasUnderlay()) return;
    // An address may go and come again, as when DHCP renews it.
    await delay(UNDERLAY_GRACE_MS);
    if (this.node.stopped || (await this.hasUnderlay())) return;
    const { underlay } = this.plan;
    const address = formatIpv4(boundAddress(this.plan, this.node.own));
    this.over.reject(
      new UserError(
        `${address} is no address of ${underlay.link.name} any more, and the tunnel's socket is bound to it; start weft again, it takes the address there is then`,
      ),
    );
  }

  private async hasUnderlay(): Promise<boolean> {
    const { name } = this.plan.underlay.link;
    const link = (await readLinks()).find((candidate) => candidate.name === name);
    return link?.addresses.includes(boundAddress(this.plan, this.node.own)) ?? false;
  }

  private async follow(set: LeaseSet): Promise<void> {
    await this.node.update(set);
    this.refused = null;
    await this.saveState();
  }

  private refuse(error: Error): void {
    this.refused = error.message;
    warn(`leases refused, the last good ones stay in force: ${error.message}`);
  }

  private async answer(request: ControlRequest): Promise<unknown> {
    const { link } = this.plan.underlay;
    const { name, trouble } = this.source;
    switch (request.command) {
      case 'status':
        return collectStatus({
          version: version(),
          node: this.node,
          dataplane: this.dataplane,
          counters: this.counters(),
          underlay: { interface: link.name, mtu: link.mtu },
          workers: this.options.workers,
          peerCheck: this.plan.peerCheck,
          leaseSource: { name, refused: this.refused, trouble },
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
