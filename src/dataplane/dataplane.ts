/**
 * Control's handle on the dataplane: opens the devices, starts the forwarding threads, passes changes to them, reads
 * the counters, stops everything. It knows no lease and no file.
 */

import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { errnoName } from '../sys/errno.js';
import { close } from '../sys/ffi.js';
import { familyOf, IPV4, isIpv6, type UnderlayAddress } from '../sys/sockaddr.js';
import { COUNTER_ROW_SIZE, type CounterName, type CounterRow, sumCounters } from './counters.js';
import { createDevice } from './io/device.js';
import {
  configureTxSocket,
  enableUdpGro,
  openTxSockets,
  openUdpSockets,
  receiveOverflows,
  supportsUdpGso,
} from './io/udp-socket.js';
import type { Offload, Rung } from './offload/level.js';
import type { LearnedEntry } from './tunnel/learned.js';
import type { TunnelOptions } from './tunnel/tunnel.js';
import { Doorbell } from './worker/doorbell.js';
import type { FdbEntry, Prefix, Reply, Request, Route, WorkerOptions } from './worker/messages.js';

export interface DataplaneOptions {
  /** Name of the device: a TAP for vxlan, e.g. flannel.1; a TUN for udp, e.g. flannel0. */
  device: string;
  /**
   * The underlay address to bind and the UDP port of every peer. Its family is that of every peer's address; over IPv6 goes
   * vxlan without learning.
   */
  address: UnderlayAddress;
  port: number;
  workers: number;
  /** The rung to use, or `auto` for the best that this kernel can. */
  offload: Rung | 'auto';
  /** Microseconds a worker goes on looking for packets before it blocks, where they follow each other closely. */
  busyPoll: number;
  /** MTU of the device, in bytes. */
  mtu: number;
  /** MTU of the pods behind it, in bytes: what a superpacket whose segments' size nobody has said is cut to. */
  podMtu: number;
  tunnel: TunnelOptions;
}

export type { Ipv4Address, Ipv6Address, UnderlayAddress } from '../sys/sockaddr.js';
export type { FdbEntry, Prefix, Route } from './worker/messages.js';

export interface RouteChanges {
  remove: readonly Prefix[];
  set: readonly Route[];
}

export interface FdbChanges {
  remove: readonly { high: number; low: number }[];
  set: readonly FdbEntry[];
}

/**
 * Old space of a worker's heap, in MB: code and the FDB of tens of thousands of peers; and up to what it grows without
 * a collection, which would else come with the first traffic, when the code for it is compiled.
 */
const WORKER_HEAP_MB = 32;
const WORKER_HEAP_START_MB = 16;
/** Young space in MB: nothing is allocated per packet, so it only serves requests and warming up. */
const WORKER_YOUNG_MB = 4;

export interface DataplaneEvents {
  /** A thread cannot go on: the dataplane is to be stopped. */
  onFailure: (error: Error) => void;
  /** The kernel refuses to send trains, with this errno: from now on each datagram is sent alone. */
  onStepDown: (code: string) => void;
}

/** Binds and closes the socket a dataplane would receive on. @throws SystemError when it cannot be bound */
export function probeSocket(address: UnderlayAddress, port: number): void {
  for (const fd of openUdpSockets(address, port, 1)) close(fd);
}

/** A change came to a dataplane whose threads have ended, as they do with their device. */
export class DataplaneGone extends Error {
  constructor() {
    super('the forwarding thread is gone');
  }
}

/** The rung that was asked for is not to be had on this kernel. */
export class RungUnavailable extends Error {}

type Resources = Pick<WorkerOptions, 'deviceFd' | 'socketFd' | 'senderFds' | 'offload'>;

type Answer = { resolve: (reply: Extract<Reply, { type: 'done' }>) => void; reject: (reason: Error) => void };
type RequestBody<T extends Request = Request> = T extends Request ? Omit<T, 'id'> : never;

class ForwardingThread {
  readonly doorbell: Doorbell;
  readonly counters: CounterRow;
  readonly started: Promise<void>;
  readonly exited: Promise<void>;
  private readonly worker: Worker;
  private readonly pending = new Map<number, Answer>();
  private nextId = 1;
  private gone = false;

  constructor(options: DataplaneOptions, resources: Resources, events: DataplaneEvents) {
    const handle = Doorbell.create();
    const counters = new SharedArrayBuffer(COUNTER_ROW_SIZE);
    this.doorbell = new Doorbell(handle);
    this.counters = new Float64Array(counters);
    const workerData: WorkerOptions = {
      ...resources,
      ipv6: isIpv6(options.address),
      busyPoll: options.busyPoll,
      port: options.port,
      mtu: options.mtu,
      podMtu: options.podMtu,
      tunnel: options.tunnel,
      doorbell: handle,
      counters,
    };
    this.worker = new Worker(new URL('./worker/worker.js', import.meta.url), {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: WORKER_HEAP_MB, maxYoungGenerationSizeMb: WORKER_YOUNG_MB },
    });
    this.exited = once(this.worker, 'exit').then(() => this.abandon());
    this.worker.on('error', events.onFailure);
    this.started = new Promise((resolve) => {
      this.worker.on('message', (reply: Reply) => {
        if (reply.type === 'started') resolve();
        else if (reply.type === 'done') this.settle(reply);
        else if (reply.type === 'stepped-down') events.onStepDown(errnoName(reply.errno));
        else events.onFailure(portFailure(options.device, reply));
      });
    });
  }

  request(body: RequestBody): Promise<Extract<Reply, { type: 'done' }>> {
    if (this.gone) return Promise.reject(new DataplaneGone());
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      this.worker.postMessage({ ...body, id });
      this.doorbell.ring();
    });
  }

  private settle(reply: Extract<Reply, { type: 'done' }>): void {
    this.pending.get(reply.id)?.resolve(reply);
    this.pending.delete(reply.id);
  }

  private abandon(): void {
    this.gone = true;
    for (const answer of this.pending.values()) answer.reject(new DataplaneGone());
    this.pending.clear();
  }
}

/** flannel's udp is IPv4 only; what learning would remember of an IPv6 address is a number that may be taken back. */
function refuseIpv6Underlay({ address, tunnel }: DataplaneOptions): void {
  if (!isIpv6(address)) return;
  if (tunnel.type === 'udp') throw new RangeError('the udp tunnel needs an IPv4 underlay');
  if (tunnel.learning) throw new RangeError('learning needs an IPv4 underlay');
}

/** A device or socket under a running dataplane is gone, as when someone deletes the device. */
export class PortFailure extends Error {
  readonly port: 'overlay' | 'underlay';

  constructor(port: PortFailure['port'], message: string) {
    super(message);
    this.port = port;
  }
}

function portFailure(device: string, reply: Extract<Reply, { type: 'failed' }>): PortFailure {
  const what = reply.port === 'overlay' ? `device ${device}` : 'the UDP socket';
  return new PortFailure(reply.port, `${what} cannot be read any more (${errnoName(reply.errno)})`);
}

export class Dataplane {
  private readonly options: DataplaneOptions;
  private readonly deviceFds: number[];
  private readonly socketFds: number[];
  /** Sockets that all threads send through; with none of these each sends through its own socket. */
  private readonly senderFds: number[];
  /** What this kernel's devices can, found out when they were made. */
  readonly offload: Offload;
  private threads: ForwardingThread[] = [];
  private readonly stopAtExit = (): void => this.ringStop();

  /**
   * Binds the sockets, then creates the device: it exists, down and without address, when this returns.
   * @throws SystemError, or RangeError for options that do not go together; then nothing is left behind
   */
  constructor(options: DataplaneOptions) {
    refuseIpv6Underlay(options);
    this.options = options;
    const opened: number[] = [];
    try {
      this.socketFds = openUdpSockets(options.address, options.port, options.workers);
      opened.push(...this.socketFds);
      const isVxlan = options.tunnel.type === 'vxlan';
      // flannel's udp peers send from the port they receive on.
      this.senderFds = isVxlan ? openTxSockets(options.address) : [];
      opened.push(...this.senderFds);
      if (!isVxlan) for (const fd of this.socketFds) configureTxSocket(fd, IPV4);
      const superpackets = options.offload !== 'none' && supportsUdpGso();
      const device = createDevice(isVxlan ? 'tap' : 'tun', options.device, options.workers, superpackets);
      this.deviceFds = device.fds;
      this.offload = device.offload;
      opened.push(...device.fds);
      if (options.offload === 'gso' && device.offload.rung !== 'gso') {
        throw new RungUnavailable(
          'rung gso needs UDP_SEGMENT and UDP_GRO (Linux 5.0) and a tun device with TSO',
        );
      }
      if (device.offload.rung === 'gso') for (const fd of this.socketFds) enableUdpGro(fd);
    } catch (error) {
      for (const fd of opened) close(fd);
      throw error;
    }
  }

  /** Starts forwarding. */
  async start(events: DataplaneEvents): Promise<void> {
    setFlagsFromString(`--initial-old-space-size=${WORKER_HEAP_START_MB}`);
    // Control's thread would be tidied up in steps whenever it is idle, on a core that packets could use.
    setFlagsFromString('--no-incremental-marking');
    // process.exit waits for ever for a thread in a blocking call: whatever ends this process must end the threads.
    process.on('exit', this.stopAtExit);
    this.threads = this.deviceFds.map(
      (deviceFd, queue) =>
        new ForwardingThread(this.options, this.resourcesOf(deviceFd, this.socketFds[queue]), events),
    );
    await Promise.all(this.threads.map((thread) => Promise.race([thread.started, thread.exited])));
  }

  private resourcesOf(deviceFd: number, socketFd: number): Resources {
    const senderFds = this.senderFds.length > 0 ? this.senderFds : [socketFd];
    return { deviceFd, socketFd, senderFds, offload: this.offload };
  }

  /**
   * vxlan: applies FDB changes in every thread; when it resolves, packets follow them.
   * @throws RangeError for an address of the other family; then nothing is changed
   */
  async updateFdb(changes: FdbChanges): Promise<void> {
    const remove = Int32Array.from(changes.remove.flatMap(({ high, low }) => [high, low]));
    const set = Int32Array.from(changes.set.flatMap((entry) => this.wordsOf(entry)));
    await Promise.all(this.threads.map((thread) => thread.request({ type: 'fdb', remove, set })));
  }

  private wordsOf({ high, low, address }: FdbEntry): number[] {
    if (familyOf(address) !== familyOf(this.options.address)) {
      throw new RangeError("a peer's address is not of the underlay's family");
    }
    return isIpv6(address) ? [high, low, ...address] : [high, low, address];
  }

  /** udp: applies route changes in every thread; when it resolves, packets follow them. */
  async updateRoutes(changes: RouteChanges): Promise<void> {
    const remove = Int32Array.from(changes.remove.flatMap(({ base, prefix }) => [base, prefix]));
    const set = Int32Array.from(changes.set.flatMap(({ base, prefix, address }) => [base, prefix, address]));
    await Promise.all(this.threads.map((thread) => thread.request({ type: 'routes', remove, set })));
  }

  /** udp: tells every thread the device's address (IPv4, host order, signed). */
  async setOwnAddress(address: number): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.request({ type: 'own-address', address })));
  }

  /** vxlan: tells every thread this node's VTEP MAC. */
  async setOwnMac(high: number, low: number): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.request({ type: 'own-mac', high, low })));
  }

  /** The learned entries of all threads; none where learning is off. */
  async learned(): Promise<LearnedEntry[]> {
    const replies = await Promise.all(this.threads.map((thread) => thread.request({ type: 'learned' })));
    return replies.flatMap((reply) => reply.learned ?? []);
  }

  /** All counters, summed over the threads. */
  counters(): Record<CounterName, number> {
    return sumCounters(this.threads.map((thread) => thread.counters));
  }

  /** Datagrams the kernel dropped before a thread could take them. */
  receiveOverflows(): number {
    return this.socketFds.reduce((sum, fd) => sum + receiveOverflows(fd), 0);
  }

  /** Stops the threads and closes everything; the device and all that hangs on it disappear. A second time nothing is left. */
  async stop(): Promise<void> {
    this.ringStop();
    await Promise.all(this.threads.map((thread) => thread.exited));
    process.off('exit', this.stopAtExit);
    for (const thread of this.threads) thread.doorbell.close();
    for (const fds of [this.deviceFds, this.socketFds, this.senderFds])
      for (const fd of fds.splice(0)) close(fd);
    this.threads = [];
  }

  private ringStop(): void {
    for (const thread of this.threads) thread.doorbell.stop();
  }
}
