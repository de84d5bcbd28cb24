/**
 * `weft run`: checks everything, gets the node its lease, opens the dataplane, sets up the node, follows the leases, and
 * takes it all down again.
 */

import { Dataplane, PortFailure, RungUnavailable } from '../dataplane/dataplane.js';
import { releaseFilePages } from '../dataplane/sys/pages.js';
import { SystemError } from '../dataplane/sys/system-error.js';
import { version } from '../version.js';
import { deferred } from './deferred.js';
import type { ControlRequest } from './ipc/protocol.js';
import { ControlServer, refuseRunning } from './ipc/server.js';
import { formatIpv4 } from './ipv4.js';
import type { LeaseSet } from './leases/lease.js';
import type { LeaseSource } from './leases/source.js';
import { sourceFor } from './leases/source-for.js';
import { info, warn } from './log.js';
import { readLinks } from './network/links.js';
import { Node } from './node/node.js';
import { collectStatus } from './node/status.js';
import type { RunOptions } from './options.js';
import { announce, boundAddress, explain, makePlan, type Plan, refuseTakenPort } from './plan.js';
import { writeRunState } from './run-state.js';
import { show, UserError } from './user-error.js';

/** flannel's words for a node whose subnet.env is not written yet. */
const NOT_READY = 'flanneld is not ready yet';

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
  const dataplane = openDataplane(plan, options, set);
  announce(plan);
  return new Daemon(plan, options, source, set, dataplane, signal);
}

function openDataplane(plan: Plan, options: RunOptions, { own }: LeaseSet): Dataplane {
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
  private readonly dataplane: Dataplane;
  private readonly node: Node;
  /** Resolves when weft is to leave, rejects when it cannot go on. */
  private readonly over = deferred();
  /** Resolves when everything but the control socket is gone. */
  private readonly down = deferred();
  private refused: string | null = null;
  private ready = false;

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
    const { plan, options, dataplane, node, over } = this;
    const server = await ControlServer.listen(options.runDir, (request) => this.answer(request));
    try {
      await writeRunState(options.runDir, {
        pid: process.pid,
        device: plan.backend.device,
        index: (await readLinks()).find(({ name }) => name === plan.backend.device)?.index,
        subnetFile: options.subnetFile,
      });
      await dataplane.start({
        onFailure: (error) => over.reject(this.explainFailure(error)),
        onStepDown: (code) =>
          warn(`offload: the kernel refuses trains of datagrams (${code}); each is sent alone from now on`),
      });
      // Whoever wants it to leave need not wait until ten thousand peers are set up.
      await Promise.race([this.begin(), over.promise]);
      await over.promise;
    } finally {
      await this.source.close();
      await node.stop();
      await dataplane.stop();
      this.down.resolve();
      await server.close();
    }
  }

  private async begin(): Promise<void> {
    const { plan, node, source } = this;
    await node.start(this.first.peers);
    if (node.stopped) return;
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

  private explainFailure(error: Error): Error {
    if (!(error instanceof PortFailure)) return error;
    return new UserError(
      `${error.message}: was ${this.plan.backend.device} or ${this.plan.underlay.link.name} deleted? Start weft again`,
    );
  }

  private async follow(set: LeaseSet): Promise<void> {
    await this.node.update(set);
    this.refused = null;
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
