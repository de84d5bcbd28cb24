/**
 * `weft run`: checks everything, then opens the dataplane, sets up the node, follows the leases, and takes it all down
 * again.
 */

import { Dataplane, PortFailure, probeSocket, RungUnavailable } from '../dataplane/dataplane.js';
import type { Rung } from '../dataplane/offload/ladder.js';
import { releaseFilePages } from '../dataplane/sys/pages.js';
import { SystemError } from '../dataplane/sys/system-error.js';
import type { PeerCheck } from '../dataplane/tunnel/vxlan.js';
import { version } from '../version.js';
import type { Backend } from './backends/backend.js';
import { backendFor } from './backends/backends.js';
import { type BackendConf, type NetConf, readNetConf } from './config/net-conf.js';
import { deferred } from './deferred.js';
import type { ControlRequest } from './ipc/protocol.js';
import { ControlServer, refuseRunning } from './ipc/server.js';
import { formatIpv4 } from './ipv4.js';
import { FileLeaseSource } from './leases/file-source.js';
import type { Lease, LeaseSource } from './leases/lease.js';
import { info, warn } from './log.js';
import { refuseExisting, refuseRival } from './network/device.js';
import { chooseInterface, type Link, readLinks } from './network/links.js';
import { Node } from './node/node.js';
import { findOwnLease } from './node/own-lease.js';
import { collectStatus } from './node/status.js';
import { writeRunState } from './run-state.js';
import { show, UserError } from './user-error.js';

export interface RunOptions {
  leaseFile: string;
  netConfigPath: string;
  /** Name or address; undefined for the default route's. */
  iface: string | undefined;
  subnetFile: string;
  runDir: string;
  workers: number;
  offload: 'auto' | Rung;
  busyPoll: number;
  /** undefined: the backend's own; strict, or off where net-conf asks for learning. */
  peerCheck: PeerCheck | undefined;
}

/** All that was read and found good before anything was changed. */
interface Plan {
  netConf: NetConf;
  backend: Backend;
  source: LeaseSource;
  leases: Lease[];
  links: Link[];
  underlay: Link;
  own: Lease;
  mtu: number;
  peerCheck: PeerCheck;
}

/** Runs until SIGTERM, SIGINT or `weft cleanup`. @throws UserError; then nothing of what was made is left */
export async function runDaemon(options: RunOptions): Promise<void> {
  const plan = await makePlan(options, await readNetConf(options.netConfigPath));
  await refuseRunning(options.runDir);
  const dataplane = openDataplane(plan, options);
  announce(plan);
  await new Daemon(plan, options, dataplane).run();
}

/**
 * Reads and checks all that `runDaemon` would, and that the port is free; returns a line on what would run. With `backend`
 * in place of net-conf's. Changes nothing. @throws UserError with the first obstacle
 */
export async function rehearse(options: RunOptions, backend?: BackendConf): Promise<string> {
  const netConf = await readNetConf(options.netConfigPath);
  const plan = await makePlan(options, { ...netConf, backend: backend ?? netConf.backend });
  const { conf, device } = plan.backend;
  try {
    probeSocket(plan.own.publicIp | 0, conf.port);
  } catch (error) {
    throw error instanceof SystemError ? explain(error, plan) : error;
  }
  const address = `${formatIpv4(plan.own.publicIp)}:${conf.port}`;
  return `backend ${conf.type}: ${device} with MTU ${plan.mtu} over ${plan.underlay.name}, UDP ${address}`;
}

async function makePlan(options: RunOptions, netConf: NetConf): Promise<Plan> {
  const backend = backendFor(netConf.backend);
  const { conf, device } = backend;
  if (backend.learning && options.workers > 1) {
    throw new UserError(
      `--workers ${options.workers}: what one worker learns the others do not see; use --workers 1 with Learning, or turn Learning off in ${options.netConfigPath}`,
    );
  }
  const source = new FileLeaseSource(options.leaseFile, conf.type === 'vxlan' ? conf.vni : undefined);
  const leases = await source.load();
  const links = await readLinks();
  const underlay = await chooseInterface(links, options.iface);
  const own = findOwnLease(
    leases,
    { interface: underlay.name, addresses: underlay.addresses },
    netConf,
    source.name,
  );
  refuseExisting(links, device);
  refuseRival(links, backend.rivals, netConf.network);
  return {
    netConf,
    backend,
    source,
    leases,
    links,
    underlay,
    own,
    mtu: (conf.outerMtu ?? underlay.mtu) - backend.overhead,
    peerCheck: options.peerCheck ?? backend.peerCheck,
  };
}

function announce({ netConf, backend, underlay, own, mtu }: Plan): void {
  const { type, outerMtu } = backend.conf;
  info(`Found network config - Backend type: ${type}`);
  info(`Using interface with name ${underlay.name} and address ${formatIpv4(own.publicIp)}`);
  info(`${backend.summary} device ${backend.device} MTU ${mtu}`);
  for (const sentence of netConf.ignored) warn(`net-conf ${sentence}`);
  if (outerMtu !== undefined && outerMtu > underlay.mtu) {
    warn(
      `net-conf Backend.MTU ${outerMtu} is more than the ${underlay.mtu} of ${underlay.name}: large packets will be fragmented`,
    );
  }
}

function openDataplane(plan: Plan, options: RunOptions): Dataplane {
  const { backend, own, mtu, peerCheck } = plan;
  try {
    return new Dataplane({
      device: backend.device,
      address: own.publicIp | 0,
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
    throw error instanceof SystemError ? explain(error, plan) : error;
  }
}

function explain(error: SystemError, { backend, own, links }: Plan): UserError {
  const { port } = backend.conf;
  const address = formatIpv4(own.publicIp);
  if (error.syscall === 'bind' && error.code === 'EADDRINUSE') {
    const vxlan = links.find(({ kind, data }) => kind === 'vxlan' && data.port === port);
    return new UserError(
      vxlan === undefined
        ? `UDP port ${port} of ${address} is taken by another process; find and stop it (ss -lunp "sport = :${port}"), or change Backend.Port on every node`
        : `UDP port ${port} of ${address} is taken by the kernel vxlan device ${vxlan.name}; remove it (ip link delete ${vxlan.name}), or change Backend.Port on every node`,
    );
  }
  if (error.syscall === 'bind')
    return new UserError(
      `UDP ${address}:${port} cannot be bound (${error.code}); is the address still on the interface?`,
    );
  return new UserError(`${backend.device} cannot be made: ${error.message}`);
}

function peers(count: number): string {
  return count === 1 ? '1 peer' : `${count} peers`;
}

/** The running daemon: from the opened dataplane to the last closed descriptor. */
class Daemon {
  private readonly plan: Plan;
  private readonly options: RunOptions;
  private readonly dataplane: Dataplane;
  private readonly node: Node;
  /** Resolves when weft is to leave, rejects when it cannot go on. */
  private readonly over = deferred();
  /** Resolves when everything but the control socket is gone. */
  private readonly down = deferred();
  private refused: string | null = null;

  constructor(plan: Plan, options: RunOptions, dataplane: Dataplane) {
    const { netConf, backend, underlay, mtu, source } = plan;
    this.plan = plan;
    this.options = options;
    this.dataplane = dataplane;
    this.node = new Node(
      {
        netConf,
        backend,
        interface: underlay.name,
        device: backend.device,
        mtu,
        subnetFile: options.subnetFile,
        source: source.name,
      },
      dataplane,
      plan.own,
    );
  }

  async run(): Promise<void> {
    const { plan, options, dataplane, node, over } = this;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        info(`${signal}: leaving`);
        over.resolve();
      });
    }
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
      plan.source.close();
      await node.stop();
      await dataplane.stop();
      this.down.resolve();
      await server.close();
    }
  }

  private async begin(): Promise<void> {
    const { plan, node } = this;
    await node.start(plan.leases);
    if (node.stopped) return;
    plan.source.watch(
      (leases) => this.follow(leases),
      (error) => this.refuse(error),
    );
    info(
      `ready: ${plan.backend.device} is up with ${formatIpv4(node.own.subnet.base)}/32, ${peers(node.peers.length)}`,
    );
    releaseFilePages();
  }

  private explainFailure(error: Error): Error {
    if (!(error instanceof PortFailure)) return error;
    return new UserError(
      `${error.message}: was ${this.plan.backend.device} or ${this.plan.underlay.name} deleted? Start weft again`,
    );
  }

  private async follow(leases: readonly Lease[]): Promise<void> {
    await this.node.update(leases);
    this.refused = null;
  }

  private refuse(error: Error): void {
    this.refused = error.message;
    warn(`leases refused, the last good ones stay in force: ${error.message}`);
  }

  private async answer(request: ControlRequest): Promise<unknown> {
    switch (request.command) {
      case 'status':
        return collectStatus({
          version: version(),
          node: this.node,
          dataplane: this.dataplane,
          underlay: { interface: this.plan.underlay.name, mtu: this.plan.underlay.mtu },
          workers: this.options.workers,
          peerCheck: this.plan.peerCheck,
          refused: this.refused,
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
