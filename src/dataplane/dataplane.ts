/**
 * The dataplane's public surface, and the only module of it that control imports. A Dataplane opens the device and the
 * sockets, starts the forwarding threads, passes changes to them, reads the counters and stops everything. It knows no
 * leases and no files.
 */

import { O_CLOEXEC } from '../sys/constants.js';
import { close, dup3 } from '../sys/ffi.js';
import { kernelVersion } from '../sys/kernel-version.js';
import { isIpv6Address, socketFamilyOf, type UnderlayAddress } from '../sys/sockaddr.js';
import { SystemError } from '../sys/system-error.js';
import { COUNTER, type CounterRow, type Counters, sumCounters } from './counters.js';
import { DataplaneGone, OffloadUnavailable } from './errors.js';
import { createDevice, deviceName } from './io/device.js';
import { OverflowCounters } from './io/overflows.js';
import { SocketDrops } from './io/socket-drops.js';
import { enableGro, openTxSockets, openUdpSockets, prepareTxSocket, supportsGso } from './io/udp-socket.js';
import { gsoRunLimit } from './offload/gso-runs.js';
import {
  type Direction,
  type DirectionLevel,
  type Offload,
  type OffloadLevel,
  refusalReason,
} from './offload/level.js';
import type { DataplaneEvents, DataplaneOptions, FdbChanges, RouteChanges } from './options.js';
import type { LearnedEntry } from './tunnel/learned.js';
import { TUNNEL_TRAITS } from './tunnel/options.js';
import { type PeerActivity, sumActivity } from './tunnel/peer-traffic.js';
import { type RefusedSource, sumRefused } from './tunnel/refused-sources.js';
import type { FdbEntry, TunnelAnswer, TunnelRequest } from './tunnel/requests.js';
import { ForwardingThreads } from './worker/threads.js';

export type { Ipv4Address, Ipv6Address, UnderlayAddress } from '../sys/sockaddr.js';
export type { Counters } from './counters.js';
export { DataplaneGone, OffloadUnavailable, PortFailure, ThreadFailure } from './errors.js';
export { probeTun, TUN_PATH } from './io/device.js';
export type { GsoRuns } from './offload/gso-runs.js';
export type { Direction, DirectionLevel, OffloadLevel } from './offload/level.js';
export type { DataplaneEvents, DataplaneOptions, FdbChanges, RouteChanges } from './options.js';
export type { PeerCheck, TunnelOptions } from './tunnel/options.js';
export type { PeerActivity } from './tunnel/peer-traffic.js';
export type { RefusedSource } from './tunnel/refused-sources.js';
export type { FdbEntry, Prefix, Route } from './tunnel/requests.js';

/** Binds and closes the socket a dataplane would receive on. @throws SystemError when it cannot be bound */
export function probeSocket(address: UnderlayAddress, port: number): void {
  for (const fd of openUdpSockets(address, port, 1)) close(fd);
}

/** @throws RangeError for a tunnel that cannot run over IPv6 */
function checkUnderlayFamily({ address, tunnel }: DataplaneOptions): void {
  if (!isIpv6Address(address)) return;
  if (!TUNNEL_TRAITS[tunnel.type].ipv6Underlay)
    throw new RangeError(`the ${tunnel.type} tunnel needs an IPv4 underlay`);
  // A learned entry would outlive the number that stands for its IPv6 address (tunnel/ipv6-addresses.ts).
  if ('learning' in tunnel && tunnel.learning) throw new RangeError('learning needs an IPv4 underlay');
}

function refusedIn(counters: CounterRow): number {
  return (
    counters[COUNTER.rx_drop_unknown_vtep] +
    counters[COUNTER.rx_drop_wrong_source_mac] +
    counters[COUNTER.rx_drop_wrong_source]
  );
}

/** Returns the level of a direction: `none` at level `gso` if there is a reason. */
function directionLevel(level: OffloadLevel, reason: string | undefined): DirectionLevel {
  return level === 'gso' && reason !== undefined ? { level: 'none', reason } : { level };
}

export class Dataplane {
  private readonly options: DataplaneOptions;
  private readonly deviceFds: number[];
  private readonly socketFds: number[];
  /** Sockets that all threads send through; if empty, each thread sends through the socket it receives on. */
  private readonly txSocketFds: number[];
  /** The offload level in use, as found when the device was created. */
  readonly offload: Offload;
  /** The level of each direction, which may fall back. */
  readonly levels: Record<Direction, DirectionLevel>;
  private readonly overflows: OverflowCounters;
  private readonly socketDrops: SocketDrops;
  private threads: ForwardingThreads | undefined;
  /** The counters at the stop. */
  private finalCounters: Counters | undefined;
  private readonly stopAtExit = (): void => this.threads?.ringStop();

  /**
   * Binds the sockets, then creates the device. On return the device exists, down and without address.
   * @throws SystemError, OffloadUnavailable, or RangeError for incompatible options; then nothing is left open
   */
  constructor(options: DataplaneOptions) {
    checkUnderlayFamily(options);
    this.options = options;
    const traits = TUNNEL_TRAITS[options.tunnel.type];
    const opened: number[] = [];
    try {
      this.socketFds = openUdpSockets(options.address, options.port, options.workers);
      opened.push(...this.socketFds);
      this.txSocketFds = traits.txSockets ? openTxSockets(options.address) : [];
      opened.push(...this.txSocketFds);
      if (!traits.txSockets)
        for (const fd of this.socketFds) prepareTxSocket(fd, socketFamilyOf(options.address));
      const superpackets = options.offload !== 'none' && supportsGso();
      const device = createDevice(traits.device, options.device, options.workers, superpackets);
      this.deviceFds = device.fds;
      opened.push(...device.fds);
      const { level } = device.offload;
      const runs = gsoRunLimit(options.gsoRuns, kernelVersion());
      this.offload = { ...device.offload, maxRun: level === 'gso' ? runs.datagrams : 1 };
      this.levels = {
        transmit: directionLevel(level, runs.reason),
        receive: directionLevel(level, device.refusal),
      };
      if (options.offload === 'gso' && device.offload.level !== 'gso') {
        throw new OffloadUnavailable(
          'offload level gso needs UDP_SEGMENT and UDP_GRO (Linux 5.0) and a tun device with TSO',
        );
      }
      if (device.offload.level === 'gso') for (const fd of this.socketFds) enableGro(fd);
      this.socketDrops = new SocketDrops(this.socketFds, socketFamilyOf(options.address));
      this.overflows = new OverflowCounters(() => deviceName(device.fds[0]), this.socketDrops);
    } catch (error) {
      for (const fd of opened) close(fd);
      throw error;
    }
  }

  /** Starts forwarding. Threads that fail are replaced; `events` reports it. */
  async start(events: DataplaneEvents): Promise<void> {
    // process.exit never returns while a thread is in a blocking call, so every exit must end the threads.
    process.on('exit', this.stopAtExit);
    const { options, offload, txSocketFds, levels } = this;
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
      threads: this.deviceFds.map((deviceFd, queue) => {
        const socketFd = this.socketFds[queue];
        return {
          ...common,
          deviceFd,
          socketFd,
          txSocketFds: txSocketFds.length > 0 ? txSocketFds : [socketFd],
        };
      }),
      events,
      onRefusal,
    });
    await this.threads.start();
  }

  /**
   * Binds new sockets to another address of the same family. They take over the descriptors of the old ones, so that the
   * threads forward without a pause. @throws SystemError when they cannot be bound; then the old sockets stay in use
   */
  rebind(address: UnderlayAddress): void {
    const { port, workers, tunnel } = this.options;
    const opened: number[] = [];
    try {
      opened.push(...openUdpSockets(address, port, workers));
      if (TUNNEL_TRAITS[tunnel.type].txSockets) opened.push(...openTxSockets(address));
      else for (const fd of opened) prepareTxSocket(fd, socketFamilyOf(address));
      if (this.offload.level === 'gso') for (const fd of opened.slice(0, workers)) enableGro(fd);
      for (const [index, fd] of [...this.socketFds, ...this.txSocketFds].entries()) {
        const result = dup3(opened[index], fd, O_CLOEXEC);
        if (result < 0) throw new SystemError('dup3', result);
      }
    } finally {
      for (const fd of opened) close(fd);
    }
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

  /** Returns the packets and bytes of each peer since it was added, summed over the threads. @throws DataplaneGone */
  async peers(): Promise<PeerActivity[]> {
    const answers = await this.ask({ type: 'peers' });
    return sumActivity(answers.flatMap(({ peers }) => peers ?? []));
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

  /** Why a part of the packets is not forwarded at present; null if all are. */
  get silent(): string | null {
    return this.threads?.silent ?? null;
  }

  /** Returns all counters, summed over the threads; after `stop`, their last values. */
  counters(): Counters {
    if (this.finalCounters !== undefined) return this.finalCounters;
    const restarts = this.threads?.restarts ?? 0;
    return { ...sumCounters(this.rows), ...this.overflows.read(), worker_restarts: restarts };
  }

  /** Returns the present value of rx_drop_checksum. */
  checksumDrops(): number {
    return this.socketDrops.read().rx_drop_checksum;
  }

  /**
   * Stops the threads and closes every descriptor; the kernel then deletes the device. Takes half a second at most, and may
   * be called again.
   */
  async stop(): Promise<void> {
    await this.threads?.stop();
    process.off('exit', this.stopAtExit);
    this.finalCounters = this.counters();
    for (const fds of [this.deviceFds, this.socketFds, this.txSocketFds])
      for (const fd of fds.splice(0)) close(fd);
    this.threads = undefined;
  }

  private get rows(): CounterRow[] {
    return this.threads?.counters ?? [];
  }

  private async change(request: TunnelRequest): Promise<void> {
    if (this.threads === undefined) throw new DataplaneGone();
    await this.threads.change(request);
  }

  private async ask(request: TunnelRequest): Promise<TunnelAnswer[]> {
    if (this.threads === undefined) throw new DataplaneGone();
    return await this.threads.ask(request);
  }
}
