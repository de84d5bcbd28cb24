/**
 * Probes the way to every peer: through the tunnel, and underneath it. Each probe is an ICMP echo request with DF, small or
 * as large as a packet can be. The kernel of the peer answers with a packet of the same size: a reply proves both
 * directions. All peers are probed at the same time.
 *
 * This is no part of forwarding. It blocks the calling thread for a few seconds at most, so it runs in a process of its own.
 */

import { MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_DGRAM } from '../../sys/constants.js';
import { EAGAIN, EMSGSIZE, ENOBUFS, EPERM, errnoName } from '../../sys/errno.js';
import { bind, close, sendto, socket } from '../../sys/ffi.js';
import { isIpv6Address, sockaddr, socketFamilyOf, type UnderlayAddress } from '../../sys/sockaddr.js';
import { ECHO4, echoRequest, SMALLEST_ECHO } from './echo.js';
import { arpRequest, Observer, type Sighting } from './observer.js';
import { narrow, sizesBetween, type Way, wayOfSearch } from './path-mtu.js';
import { type FromPeer, IcmpSocket, keyOf, Waiter } from './sockets.js';

/** Attempts of a probe, and the time after each of them. */
const ATTEMPTS = [300, 350, 450];
/** The search for the path MTU has several rounds, each shorter. */
const SEARCH_ATTEMPTS = [150, 250];
const SEARCH_ROUNDS = 4;
/** The smallest MTU that the search tries: RFC 791 and RFC 8200. */
const MIN_MTU4 = 576;
const MIN_MTU6 = 1280;
/** So many packets leave before answers are read. */
const BURST = 64;

export interface ProbeTarget {
  /** The peer's public IP. */
  underlay: UnderlayAddress;
  /** The address of its overlay device. */
  tunnel: UnderlayAddress;
}

export interface ProbeOptions {
  /** The address of the tunnel's sockets. */
  source: UnderlayAddress;
  port: number;
  /** MTU of the overlay device, and what the tunnel adds to a packet. */
  mtu: number;
  overhead: number;
  /** For vxlan over IPv4: what an ARP request through the tunnel needs. */
  vxlan?: { vni: number; mac: string; address: number };
}

export interface ProbeResult {
  /** Milliseconds to the reply; null without one. */
  underlaySmall: number | null;
  underlayFull: number | null;
  tunnelSmall: number | null;
  tunnelFull: number | null;
  /** The largest packet of the underlay that arrives; null if full-size packets arrive or if it is unknown. */
  pathMtu: number | null;
  /** Whether the peer, or a router, answered a datagram to the tunnel's port with "port unreachable". */
  portUnreachable: boolean;
  /** Another ICMP error that a probe got: its code. */
  unreachableCode: number | null;
  /** Name of the errno with which this node refused to send. */
  refused: string | null;
  /** Where packets of this peer came from and with which MAC, if that was seen on the underlay. */
  sightings: Sighting[];
}

type Measured = 'underlaySmall' | 'underlayFull' | 'tunnelSmall' | 'tunnelFull';

interface Job {
  peer: number;
  way: Way;
  size: number;
  state: 'open' | 'answered' | 'failed';
  ms: number | null;
  /** Attributes of an answer. */
  sentAt: number;
}

/** Probes all peers of a family. @throws SystemError if a socket cannot be opened, EPERM without CAP_NET_RAW */
export function probePeers(targets: readonly ProbeTarget[], options: ProbeOptions): ProbeResult[] {
  if (targets.length === 0) return [];
  const probe = new Probe(targets, options);
  try {
    return probe.run();
  } finally {
    probe.close();
  }
}

class Probe {
  private readonly targets: readonly ProbeTarget[];
  private readonly options: ProbeOptions;
  private readonly underlay: IcmpSocket;
  /** It also receives everything. */
  private readonly tunnel: IcmpSocket;
  private readonly observer: Observer | undefined;
  private readonly waiter: Waiter;
  private readonly results: ProbeResult[];
  private readonly byUnderlay: ReadonlyMap<string, number>;
  private readonly byTunnel: ReadonlyMap<string, number>;
  /** Raw sockets receive the messages of all processes: this tells ours. */
  private readonly identifier = (process.pid ^ (Date.now() & 0xffff)) & 0xffff;
  private sequence = 0;
  private open = new Map<number, Job>();
  /** MTUs that routers reported, by peer. */
  private readonly reported = new Map<number, number>();

  constructor(targets: readonly ProbeTarget[], options: ProbeOptions) {
    this.targets = targets;
    this.options = options;
    const { source, port, vxlan } = options;
    this.tunnel = new IcmpSocket(source);
    this.underlay = new IcmpSocket(source, source);
    this.observer = vxlan === undefined ? undefined : new Observer(port, vxlan.vni);
    this.waiter = new Waiter([this.tunnel.fd, ...(this.observer === undefined ? [] : [this.observer.fd])]);
    this.byUnderlay = new Map(targets.map(({ underlay }, index) => [keyOf(underlay), index]));
    this.byTunnel = new Map(targets.map(({ tunnel }, index) => [keyOf(tunnel), index]));
    this.results = targets.map(() => ({
      underlaySmall: null,
      underlayFull: null,
      tunnelSmall: null,
      tunnelFull: null,
      pathMtu: null,
      portUnreachable: false,
      unreachableCode: null,
      refused: null,
      sightings: [],
    }));
  }

  close(): void {
    this.tunnel.close();
    this.underlay.close();
    this.observer?.close();
  }

  run(): ProbeResult[] {
    const { mtu, overhead } = this.options;
    const full = mtu + overhead;
    const wanted: [Measured, Way, number][] = [
      ['underlaySmall', 'underlay', SMALLEST_ECHO],
      ['underlayFull', 'underlay', full],
      ['tunnelSmall', 'tunnel', SMALLEST_ECHO],
      ['tunnelFull', 'tunnel', mtu],
    ];
    const jobs = this.targets.flatMap((_, peer) =>
      wanted.map(([name, way, size]) => ({ name, job: newJob(peer, way, size) })),
    );
    // Peers that do not answer through the tunnel at first are asked for their MAC meanwhile.
    this.exchange(
      jobs.map(({ job }) => job),
      ATTEMPTS,
      () =>
        this.askForMacs(jobs.filter(({ name, job }) => name === 'tunnelSmall' && job.state !== 'answered')),
    );
    for (const { name, job } of jobs) this.resultOf(job.peer)[name] = job.ms;
    this.searchPathMtus(full);
    return this.results;
  }

  private resultOf(peer: number): ProbeResult {
    return this.results[peer] as ProbeResult;
  }

  /** Sends every job until it is answered, has failed, or has had all its attempts. */
  private exchange(jobs: readonly Job[], attempts: readonly number[], between?: () => void): void {
    attempts.forEach((ms, attempt) => {
      const left = jobs.filter(({ state }) => state === 'open');
      if (left.length === 0) return;
      if (attempt > 0) between?.();
      left.forEach((job, index) => {
        this.send(job);
        if (index % BURST === BURST - 1) this.receive();
      });
      const end = performance.now() + ms;
      for (;;) {
        this.receive();
        const wait = end - performance.now();
        if (wait <= 0 || !left.some(({ state }) => state === 'open')) break;
        this.waiter.wait(wait);
      }
    });
    this.open.clear();
  }

  private send(job: Job): void {
    const target = this.targets[job.peer] as ProbeTarget;
    const socket = this[job.way];
    this.sequence = (this.sequence + 1) & 0xffff;
    const message = echoRequest(socket.kind, job.size, this.identifier, this.sequence);
    this.open.set(this.sequence, job);
    job.sentAt = performance.now();
    const result = socket.send(target[job.way], message);
    // A full queue is no answer; another attempt follows.
    if (result >= 0 || result === -EAGAIN || result === -ENOBUFS) return;
    if (result === -EMSGSIZE) {
      job.state = 'failed';
      return;
    }
    // Another attempt follows: meanwhile the peer may answer the question for its MAC.
    const found = this.resultOf(job.peer);
    // The kernel reports a dropping rule of the output chain as EPERM.
    if (found.refused === null || result === -EPERM) found.refused = errnoName(-result);
  }

  private receive(): void {
    for (let from = this.tunnel.next(); from !== undefined; from = this.tunnel.next()) this.handle(from);
    if (this.observer === undefined) return;
    for (let seen = this.observer.next(); seen !== undefined; seen = this.observer.next()) this.note(seen);
  }

  private handle({ source, message }: FromPeer): void {
    if (message.type === 'reply') {
      const job = message.identifier === this.identifier ? this.open.get(message.sequence) : undefined;
      if (job === undefined || job.state === 'answered') return;
      if (source !== keyOf((this.targets[job.peer] as ProbeTarget)[job.way])) return;
      job.state = 'answered';
      job.ms = performance.now() - job.sentAt;
      return;
    }
    const { echo, datagram, mtu, code, portUnreachable } = message;
    if (datagram !== undefined) {
      const peer =
        datagram.port === this.options.port ? this.byUnderlay.get(datagram.destination) : undefined;
      if (peer !== undefined && portUnreachable) this.resultOf(peer).portUnreachable = true;
      return;
    }
    const job = echo?.identifier === this.identifier ? this.open.get(echo.sequence) : undefined;
    if (job === undefined || job.state !== 'open') return;
    job.state = 'failed';
    if (mtu === undefined) this.resultOf(job.peer).unreachableCode = code;
    else if (job.way === 'underlay' && mtu > 0)
      this.reported.set(job.peer, Math.min(mtu, this.reported.get(job.peer) ?? mtu));
  }

  private note(seen: Sighting): void {
    const peer = this.byTunnel.get(keyOf(seen.innerSource));
    if (peer === undefined) return;
    const { sightings } = this.resultOf(peer);
    const isKnown = sightings.some(
      ({ outerSource, innerMac, arpReply }) =>
        outerSource === seen.outerSource && innerMac === seen.innerMac && arpReply === seen.arpReply,
    );
    if (!isKnown) sightings.push(seen);
  }

  /** Asks these peers for their MAC; the observer sees the answers. */
  private askForMacs(jobs: readonly { job: Job }[]): void {
    const { source, port, vxlan } = this.options;
    if (vxlan === undefined || isIpv6Address(source)) return;
    const fd = socket(socketFamilyOf(source).domain, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    if (bind(fd, sockaddr(source, 0)) >= 0) {
      for (const { job } of jobs) {
        const { underlay, tunnel } = this.targets[job.peer] as ProbeTarget;
        if (isIpv6Address(tunnel)) continue;
        const request = arpRequest(vxlan.vni, vxlan.mac, vxlan.address, tunnel);
        sendto(fd, request, MSG_DONTWAIT, sockaddr(underlay, port));
      }
    }
    close(fd);
  }

  /** Finds the path MTU of every peer to which small packets pass and full ones do not. */
  private searchPathMtus(full: number): void {
    const { overhead } = this.options;
    const least = this.tunnel.kind === ECHO4 ? MIN_MTU4 : MIN_MTU6;
    const ranges = this.results.flatMap((result, peer) => {
      const way = wayOfSearch(result);
      return way === undefined
        ? []
        : [{ peer, way, works: least - 1, fails: full, hint: this.reported.get(peer) }];
    });
    for (let round = 0; round < SEARCH_ROUNDS; round++) {
      const jobs = ranges.flatMap((range) =>
        sizesBetween(range).map((size) => ({
          range,
          size,
          job: newJob(range.peer, range.way, range.way === 'tunnel' ? size - overhead : size),
        })),
      );
      if (jobs.length === 0) break;
      this.exchange(
        jobs.map(({ job }) => job),
        SEARCH_ATTEMPTS,
      );
      for (const range of ranges) {
        const own = jobs.filter((one) => one.range === range);
        narrow(
          range,
          own.map(({ size, job }) => ({ size, arrives: job.state === 'answered' })),
        );
      }
    }
    for (const { peer, works } of ranges) if (works >= least) this.resultOf(peer).pathMtu = works;
  }
}

function newJob(peer: number, way: Way, size: number): Job {
  return { peer, way, size, state: 'open', ms: null, sentAt: 0 };
}
