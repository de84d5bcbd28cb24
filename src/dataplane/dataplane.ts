/**
 * The dataplane's public surface, and the only module of it that control imports. A Dataplane opens the device and the
 * sockets, starts the forwarding threads, passes changes to them, reads the counters and stops everything. It knows no
 * leases and no files.
 */

import { close } from '../sys/ffi.js';
import { kernelVersion } from '../sys/kernel-version.js';
import { isIpv6Address, socketFamilyOf, type UnderlayAddress } from '../sys/sockaddr.js';
import type { CaptureFilter } from './capture/layout.js';
import { type CapturedDataplane, type CaptureNames, CaptureSource } from './capture/source.js';
import {
  type CounterRow,
  type Counters,
  refusedIn,
  strangeIn,
  sumCounters,
  withFastPath,
} from './counters.js';
import { DataplaneGone } from './errors.js';
import { FastPath } from './fast-path/fast-path.js';
import { FastTimes } from './fast-path/times.js';
import { sendHandover } from './handover.js';
import { closeQueues, type Device, deviceName, setPersistent } from './io/device.js';
import { FloodGuard } from './io/flood-guard.js';
import { OverflowCounters } from './io/overflows.js';
import { SocketDrops } from './io/socket-drops.js';
import type { Sockets } from './io/sockets.js';
import { openUdpSockets } from './io/udp-socket.js';
import { loadOf, type WorkerLoad } from './load.js';
import { gsoRunLimit } from './offload/gso-runs.js';
import { type Direction, type DirectionLevel, type Offload, refusalReason } from './offload/level.js';
import { checkUnderlayFamily, directionLevel, filterRules, openDeviceOf, openSockets } from './open.js';
import type { DataplaneEvents, DataplaneOptions, FdbChanges, RouteChanges } from './options.js';
import { DesiredState } from './tunnel/desired-state.js';
import type { LearnedEntry } from './tunnel/learned.js';
import { NO_COUNTS, type PeerCounts } from './tunnel/peer-counts.js';
import { activityIn, type PeerActivity, sumActivity } from './tunnel/peer-traffic.js';
import { type RefusedSource, sumRefused } from './tunnel/refused-sources.js';
import type { FdbEntry, TunnelAnswer, TunnelRequest } from './tunnel/requests.js';
import { ForwardingThreads } from './worker/threads.js';

export type { Ipv4Address, Ipv6Address, UnderlayAddress } from '../sys/sockaddr.js';
export { Capture, type CaptureOptions } from './capture/capture.js';
export type { CaptureFilter } from './capture/layout.js';
export type { CaptureNames, CaptureSource } from './capture/source.js';
export type { Counters } from './counters.js';
export {
  CodeReplaced,
  DataplaneGone,
  FastPathUnavailable,
  HandoverMismatch,
  OffloadUnavailable,
  PortFailure,
  ThreadFailure,
} from './errors.js';
export {
  type FastPath,
  type FastPathConfig,
  type FastPathOptions,
  removeFastPath,
} from './fast-path/fast-path.js';
export type { AttachOptions } from './fast-path/hook.js';
export { bpfFileSystem, isBpfFileSystem } from './fast-path/pins.js';
export { testFastPath } from './fast-path/self-test.js';
export { type FastPeer, frameLimits } from './fast-path/tables.js';
export { discardHandover, type Handover, HandoverReceiver, isReceiving } from './handover.js';
export { type DeviceOrigin, probeTun, TUN_PATH } from './io/device.js';
export { supportsGso } from './io/udp-socket.js';
export type { BatchSizes, WorkerLoad } from './load.js';
export type { GsoRuns } from './offload/gso-runs.js';
export type { Direction, DirectionLevel, OffloadLevel } from './offload/level.js';
export type { DataplaneEvents, DataplaneOptions, FdbChanges, RouteChanges } from './options.js';
export { type ProbeOptions, type ProbeResult, type ProbeTarget, probePeers } from './probe/probe.js';
export type { PeerCheck, TunnelOptions } from './tunnel/options.js';
export type { PeerActivity, PeerTimes } from './tunnel/peer-traffic.js';
export { SENDING_PAUSE_MS } from './tunnel/peer-traffic.js';
export type { RefusedSource } from './tunnel/refused-sources.js';
export type { FdbEntry, Prefix, Route } from './tunnel/requests.js';
export { SpareWorker } from './worker/spare-worker.js';

/** Binds and closes the socket a dataplane would receive on. @throws SystemError when it cannot be bound */
export function probeSocket(address: UnderlayAddress, port: number): void {
  for (const fd of openUdpSockets(address, port, 1)) close(fd);
}

export class Dataplane {
  private readonly options: DataplaneOptions;
  private readonly device: Device;
  private readonly sockets: Sockets;
  /** The address to which the sockets are bound. */
  private address: UnderlayAddress;
  /** The offload level in use, as found when the device was created. */
  readonly offload: Offload;
  /** The level of each direction, which may fall back. */
  readonly levels: Record<Direction, DirectionLevel>;
  private readonly overflows: OverflowCounters;
  private readonly socketDrops: SocketDrops;
  private readonly guard: FloodGuard;
  /** What was asked of the tunnel. */
  private readonly desired: DesiredState;
  private threads: ForwardingThreads | undefined;
  /** The capture that runs. */
  private captured: CaptureSource | undefined;
  /** BPF programs in front of the threads. Control turns them on and off, and sets their peers. */
  readonly fastPath: FastPath | undefined;
  private readonly fastTimes = new FastTimes();
  /** Whether the device outlives this process. */
  private kept: boolean;
  /** The counters at the stop. */
  private finalCounters: Counters | undefined;
  private readonly stopAtExit = (): void => this.threads?.ringStop();

  /**
   * Binds the sockets, then opens the device. A new device is down and has no address. A handover belongs to the dataplane
   * from now on. @throws SystemError, OffloadUnavailable, HandoverMismatch, or RangeError for incompatible options; then
   * nothing is left open
   */
  constructor(options: DataplaneOptions) {
    checkUnderlayFamily(options);
    this.options = options;
    this.kept = options.origin !== 'create';
    this.desired = new DesiredState(isIpv6Address(options.address));
    this.address = options.address;
    this.sockets = openSockets(options);
    try {
      this.device = openDeviceOf(options);
    } catch (error) {
      this.sockets.close();
      throw error;
    }
    const { level } = this.device.offload;
    const runs = gsoRunLimit(options.gsoRuns, kernelVersion());
    this.offload = { ...this.device.offload, maxRun: level === 'gso' ? runs.datagrams : 1 };
    this.levels = {
      transmit: directionLevel(level, runs.reason),
      receive: directionLevel(level, this.device.refusal),
    };
    // While no socket joins, the kernel does not look up the socket of each datagram twice (udp4_gro_receive).
    this.sockets.joinsDatagrams = level === 'gso' && options.fastPath === undefined;
    if (options.fastPath !== undefined) {
      const { device: overlay, fastPath } = options;
      // A program takes a datagram alone; only the threads can split a GRO run.
      const onSwitch = (isOn: boolean): void => {
        this.sockets.joinsDatagrams = level === 'gso' && !isOn;
      };
      this.fastPath = new FastPath({ ...fastPath, overlay, onSwitch });
    }
    this.socketDrops = new SocketDrops(this.sockets.receive, socketFamilyOf(options.address));
    this.guard = new FloodGuard(
      this.sockets.receive,
      filterRules(options, level),
      () => this.desired.addresses(),
      () => this.rows.reduce((sum, row) => sum + strangeIn(row), 0),
      this.socketDrops,
    );
    this.overflows = new OverflowCounters(() => deviceName(this.device.fds[0]), this.socketDrops);
  }

  /** Starts forwarding, with the changes that were made before. Threads that fail are replaced; `events` reports it. */
  async start(events: DataplaneEvents): Promise<void> {
    // process.exit never returns while a thread is in a blocking call, so every exit must end the threads.
    process.on('exit', this.stopAtExit);
    const { options, offload, sockets, levels } = this;
    for (const direction of ['transmit', 'receive'] as const) {
      const { reason } = levels[direction];
      // An operator who chose it needs no warning.
      const chosen = direction === 'transmit' && options.gsoRuns === 'off';
      if (reason !== undefined && !chosen) events.onOffloadFallback(direction, reason);
    }
    const onRefusal = (direction: Direction, code: string): void => {
      if (levels[direction].reason !== undefined) return;
      const reason = refusalReason(direction, code);
      levels[direction] = { level: 'none', reason };
      events.onOffloadFallback(direction, reason);
    };
    const { device, busyPoll, port, podMtu, tunnel } = options;
    const common = { busyPoll, port, podMtu, tunnel, ipv6: isIpv6Address(options.address), offload };
    this.threads = new ForwardingThreads({
      device,
      threads: this.device.fds.map((deviceFd, queue) => {
        const socketFd = sockets.receive[queue];
        const txSocketFds = sockets.transmit.length > 0 ? sockets.transmit : [socketFd];
        return { ...common, deviceFd, socketFd, txSocketFds };
      }),
      desired: this.desired,
      events,
      onRefusal,
      spare: options.spare,
    });
    await this.threads.start();
    this.guard.start();
  }

  /**
   * Binds new sockets to another address of the same family. They take over the descriptors of the old ones, so that the
   * threads forward without a pause. @throws SystemError when they cannot be bound; then the old sockets stay in use
   */
  rebind(address: UnderlayAddress): void {
    this.sockets.rebind(address);
    this.address = address;
    this.captured?.rebind(this.capturedDataplane);
    this.guard.renew();
    // A thread that waits polls the old socket.
    this.threads?.ring();
  }

  /**
   * vxlan: applies FDB changes in every thread; packets follow them once the promise resolves.
   * @throws RangeError for an address of the other family; then nothing is changed
   */
  async updateFdb(changes: FdbChanges): Promise<void> {
    const remove = Int32Array.from(changes.remove.flatMap(({ high, low }) => [high, low]));
    const set = Int32Array.from(changes.set.flatMap((entry) => this.wordsOf(entry)));
    // A removed peer leaves the fast path first; a new one joins it later.
    this.fastPath?.prepare(changes);
    await this.change({ type: 'fdb', remove, set });
  }

  private wordsOf({ high, low, address }: FdbEntry): number[] {
    if (socketFamilyOf(address) !== socketFamilyOf(this.options.address)) {
      throw new RangeError("a peer's address is not of the underlay's family");
    }
    return isIpv6Address(address) ? [high, low, ...address] : [high, low, address];
  }

  /** udp: applies route changes in every thread; packets follow them once the promise resolves. */
  async updateRoutes(changes: RouteChanges): Promise<void> {
    const remove = Int32Array.from(changes.remove.flatMap(({ base, prefixLength }) => [base, prefixLength]));
    const set = Int32Array.from(
      changes.set.flatMap((route) => [route.base, route.prefixLength, route.address]),
    );
    await this.change({ type: 'routes', remove, set });
  }

  /** udp: sets the device's address (IPv4, host order, signed) in every thread. */
  async setOwnAddress(address: number): Promise<void> {
    await this.change({ type: 'own-address', address });
  }

  /** vxlan: sets this node's VTEP MAC in every thread. */
  async setOwnMac(high: number, low: number): Promise<void> {
    await this.change({ type: 'own-mac', high, low });
  }

  /** vxlan: returns the learned entries of all threads. */
  async learned(): Promise<LearnedEntry[]> {
    const answers = await this.ask({ type: 'learned' });
    return answers.flatMap(({ learned }) => learned ?? []);
  }

  /**
   * Returns the packets and bytes of each peer that has any, since it was added, and when it was heard last. They are
   * summed over the threads and the fast path. Of the fast path it knows no more than that packets passed since the last
   * call.
   * @throws DataplaneGone
   */
  async peers(): Promise<PeerActivity[]> {
    return this.activityOf(await this.ask({ type: 'peers' }), this.fastPath?.counts());
  }

  /** Returns what `peers` and `counters` return, of the same moment: it reads the fast path once. @throws DataplaneGone */
  async figures(): Promise<{ peers: PeerActivity[]; counters: Counters }> {
    const answers = await this.ask({ type: 'peers' });
    const fast = this.fastPath?.counts();
    return { peers: this.activityOf(answers, fast), counters: this.counters(fast) };
  }

  private activityOf(answers: readonly TunnelAnswer[], fast: Map<number, PeerCounts> = new Map()) {
    const now = performance.now();
    const activity = answers.flatMap(({ peers }) => (peers === undefined ? [] : activityIn(peers, now)));
    return sumActivity([...activity, ...this.fastTimes.note(fast, now)]);
  }

  /**
   * Returns the latest sources that the peer check refused although their packets belong to a lease.
   * @throws DataplaneGone
   */
  async refusedSources(): Promise<RefusedSource[]> {
    const answers = await this.ask({ type: 'peers' });
    return sumRefused(answers.flatMap(({ refused }) => refused ?? []));
  }

  /** Returns how many packets the peer check has refused. Asks no thread. */
  refusals(): number {
    return this.rows.reduce((sum, counters) => sum + refusedIn(counters), 0);
  }

  /**
   * Records packets from now on, in place of an earlier capture. Those of the fast path pass no thread: control has to
   * turn it off for them. @throws DataplaneGone, or ThreadSilent when a thread does not answer
   */
  async startCapture(filter: CaptureFilter, names: CaptureNames): Promise<CaptureSource> {
    if (this.threads === undefined) throw new DataplaneGone();
    const rings = await this.threads.startCapture(filter);
    this.captured = new CaptureSource(rings, filter, names, this.capturedDataplane);
    return this.captured;
  }

  /** Records no more packets. @throws as `startCapture` */
  async endCapture(): Promise<void> {
    this.captured = undefined;
    await this.threads?.endCapture();
  }

  private get capturedDataplane(): CapturedDataplane {
    const { options, address, sockets } = this;
    return { tunnel: options.tunnel, port: options.port, address, transmit: sockets.transmit };
  }

  /** Why a part of the packets is not forwarded at present; null if all are. */
  get silent(): string | null {
    return this.threads?.silent ?? null;
  }

  /**
   * Returns all counters, summed over the threads; after `stop`, their last values. `counts`: those of the fast path, if
   * they were just read.
   */
  counters(counts?: Map<number, PeerCounts>): Counters {
    if (this.finalCounters !== undefined) return this.finalCounters;
    const restarts = this.threads?.restarts ?? 0;
    const fast = this.fastPath?.total(counts) ?? NO_COUNTS;
    return {
      ...withFastPath(sumCounters(this.rows), fast),
      ...this.overflows.read(),
      worker_restarts: restarts,
    };
  }

  /** Returns the load of each thread. Asks no thread. */
  loads(): WorkerLoad[] {
    return this.rows.map(loadOf);
  }

  /** The number of entries of the FDB, or of the routes, that control has asked for. */
  get tableSize(): number {
    return this.desired.size;
  }

  /** Returns the present value of rx_drop_checksum. */
  checksumDrops(): number {
    return this.socketDrops.read().rx_drop_checksum;
  }

  /**
   * Lets the device outlive this process: it keeps its addresses, neighbours and routes, and loses its carrier. After `stop`
   * there is no device to keep.
   */
  keepDevice(): void {
    this.kept = true;
    if (this.device.fds.length > 0) setPersistent(this.device.fds[0], true);
  }

  /**
   * Sends device queues and sockets to another process, at a Unix socket, and goes on forwarding. The other process guards
   * the sockets from now on. @throws SystemError
   */
  handOver(path: string): void {
    this.guard.stop();
    const { address, device, sockets } = this;
    const { port, workers, tunnel } = this.options;
    const { offload, refusal } = device;
    const shared = { offload, ...(refusal !== undefined && { refusal }), address, port, workers };
    const description = { device: this.options.device, tunnel: tunnel.type, ...shared };
    sendHandover(path, description, device, sockets);
  }

  /** Guards the sockets again after a handover that failed. */
  takeBack(): void {
    this.guard.start();
  }

  /** Stops the threads, deletes the device and closes every descriptor. */
  async remove(): Promise<void> {
    this.kept = false;
    if (this.device.fds.length > 0) setPersistent(this.device.fds[0], false);
    await this.stop();
  }

  /**
   * Stops the threads and closes every descriptor. The kernel then deletes a device that is not kept. Takes half a second
   * at most, and may be called again.
   */
  async stop(): Promise<void> {
    await this.threads?.stop();
    process.off('exit', this.stopAtExit);
    this.guard.stop();
    this.finalCounters = this.counters();
    // Its programs forward to the device, and go on with it.
    if (this.kept) this.fastPath?.release();
    else this.fastPath?.turnOff();
    closeQueues(this.device.fds.splice(0));
    this.sockets.close();
    this.threads = undefined;
  }

  private get rows(): CounterRow[] {
    return this.threads?.counters ?? [];
  }

  private async change(request: TunnelRequest): Promise<void> {
    if (this.finalCounters !== undefined) throw new DataplaneGone();
    const leaving = this.desired.addressesLostBy(request);
    this.desired.note(request);
    await this.guard.during(leaving, async () => this.threads?.request(request));
  }

  private async ask(request: TunnelRequest): Promise<TunnelAnswer[]> {
    if (this.threads === undefined) throw new DataplaneGone();
    return await this.threads.ask(request);
  }
}
