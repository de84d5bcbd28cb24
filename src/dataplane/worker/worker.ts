/** Entry point of a forwarding thread: builds the path of one device queue from its options and runs the loop. */

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { reduceCapabilities } from '../../sys/capabilities.js';
import { ppoll } from '../../sys/ffi.js';
import { keepHeapSmall } from '../../sys/heap.js';
import { SystemError } from '../../sys/system-error.js';
import { Recorder } from '../capture/recorder.js';
import { Checksum } from '../checksum/checksum.js';
import { GroSplitter } from '../io/gro-splitter.js';
import { OverlayPort } from '../io/overlay.js';
import { OverlayGsoPort } from '../io/overlay-gso.js';
import { Ipv4SockaddrCodec, Ipv6SockaddrCodec } from '../io/sockaddr-codec.js';
import { UdpPort } from '../io/udp-port.js';
import { Arena } from '../memory/arena.js';
import { PacketBatch } from '../memory/batch.js';
import { LARGEST_ERROR } from '../tunnel/icmp-error.js';
import { Ipv6Addresses } from '../tunnel/ipv6-addresses.js';
import { TUNNEL_TRAITS } from '../tunnel/options.js';
import type { TunnelAnswer } from '../tunnel/requests.js';
import type { Tunnel } from '../tunnel/tunnel.js';
import { UdpTunnel } from '../tunnel/udp.js';
import { VxlanTunnel } from '../tunnel/vxlan.js';
import { Doorbell } from './doorbell.js';
import { Idle } from './idle.js';
import { ForwardingLoop } from './loop.js';
import type { Reply, Request, SpareOptions, WorkerOptions, WorkerRequest } from './messages.js';

/** The largest batch that is read from the device before it is sent. */
const MAX_BATCH = 64;
/** Messages per receive call: at level `none` each is a datagram, at level `gso` each is a GRO run. */
const RECEIVE_DATAGRAMS = 64;
const RECEIVE_RUNS = 16;
/** Error messages about the packets of one batch; more are not sent. */
const MAX_REPLIES = 16;
/**
 * The largest packet of the tun driver: an IP packet of 64 KB with its headers. Without superpackets it is smaller, but the
 * device's MTU may rise while the worker runs. Memory that no packet reaches is not resident.
 */
const LARGEST_FRAME = 65536 + 64;
/** iovec tables, pollfds, header scratch. */
const SMALL_STRUCTURES = 65536;
/** Rounds whose duration is measured at the start. */
const CALIBRATION_ROUNDS = 200;

keepHeapSmall();
const control = parentPort;
if (control === null) throw new Error('worker.js is the entry point of a worker thread');
const given = workerData as WorkerOptions | SpareOptions;
const doorbell = new Doorbell(given.doorbell);
const options = 'counters' in given ? given : waitForOptions();

const { level, uso, superpackets, maxRun } = options.offload;
const gso = level === 'gso';
const receives = gso ? RECEIVE_RUNS : RECEIVE_DATAGRAMS;
const { linkLength, headerLength, kernelPeers } = TUNNEL_TRAITS[options.tunnel.type];
const arena = new Arena(
  PacketBatch.footprint(MAX_BATCH, LARGEST_FRAME) +
    PacketBatch.footprint(MAX_REPLIES, LARGEST_ERROR) +
    UdpPort.footprint(receives) +
    (gso ? OverlayGsoPort.footprint(LARGEST_FRAME) : 0) +
    SMALL_STRUCTURES,
);
const counters = new Float64Array(options.counters);
const checksum = new Checksum(arena);
const ipv6Addresses = options.ipv6 ? new Ipv6Addresses() : undefined;
const tunnel: Tunnel =
  options.tunnel.type === 'vxlan'
    ? new VxlanTunnel(arena, counters, { ...options.tunnel, podMtu: options.podMtu }, ipv6Addresses)
    : new UdpTunnel(arena, checksum, counters, options.tunnel);
const outbound = new PacketBatch(arena, MAX_BATCH, LARGEST_FRAME);
const inbound = new PacketBatch(arena, GroSplitter.maxPackets(receives, gso), 0);
const replies = new PacketBatch(arena, MAX_REPLIES, LARGEST_ERROR);
const device = { fd: options.deviceFd, podMtu: options.podMtu, linkLength };
const overlay = gso
  ? new OverlayGsoPort(
      arena,
      { ...device, maxBatch: inbound.capacity, uso, superpackets },
      checksum,
      counters,
      outbound,
      (errno) => reply({ type: 'fallback', direction: 'receive', errno }),
    )
  : new OverlayPort(arena, device, checksum, counters, outbound);
const underlay = new UdpPort(
  arena,
  {
    fd: options.socketFd,
    txSockets: options.txSocketFds,
    codec:
      ipv6Addresses === undefined
        ? new Ipv4SockaddrCodec(arena)
        : new Ipv6SockaddrCodec(arena, ipv6Addresses),
    port: options.port,
    tunnelLength: headerLength,
    linkLength,
    kernelPeers,
    maxRun,
    peers: tunnel.peers,
    receiveMessages: receives,
    maxBatch: MAX_BATCH,
  },
  checksum,
  counters,
  (errno) => reply({ type: 'fallback', direction: 'transmit', errno }),
);
const descriptors = [options.deviceFd, options.socketFd, doorbell.eventFd];
const idle = new Idle(arena, descriptors, options.busyPoll, ppoll, counters);
const recorder = new Recorder({
  view: arena.view,
  headerLength,
  lowersTtl: options.tunnel.type === 'udp',
  maxInbound: inbound.capacity,
  ipv6Addresses,
  sourcePort: (offset) => underlay.sourcePort(offset),
});
overlay.record(recorder);
underlay.record(recorder);
tunnel.recorder = recorder;
const path = { overlay, underlay, tunnel, outbound, inbound, replies, recorder };
const loop = new ForwardingLoop(path, doorbell, idle, counters);

for (const request of options.state) apply(request);
// Control may have posted requests whose ring a spare worker has answered already.
handleRequests();

if (options.busyRounds !== undefined) {
  idle.busyRounds = options.busyRounds;
} else if (options.busyPoll > 0) {
  // Polling time is counted in rounds, so that the loop never reads the clock. The first rounds are slower: they compile
  // the code.
  loop.measureRound(CALIBRATION_ROUNDS);
  idle.busyRounds = Math.max(1, Math.round(options.busyPoll / loop.measureRound(CALIBRATION_ROUNDS)));
}

/** Blocks a spare worker until control posts its options. */
function waitForOptions(): WorkerOptions {
  for (;;) {
    doorbell.wait();
    // It ends this thread only.
    if (doorbell.stopped) process.exit();
    const received = receiveMessageOnPort(control as NonNullable<typeof control>);
    if (received !== undefined) return received.message as WorkerOptions;
  }
}

function reply(message: Reply): void {
  control?.postMessage(message);
}

/** Returns the answer, or why the tunnel has none. A request that it cannot apply must not end the forwarding. */
function apply(request: WorkerRequest): TunnelAnswer | string {
  try {
    if (request.type === 'capture') {
      recorder.begin(request.ring, request.filter);
      return {};
    }
    if (request.type === 'capture-end') {
      recorder.end();
      return {};
    }
    return tunnel.handle(request) ?? `the ${options.tunnel.type} tunnel has no ${request.type} request`;
  } catch (error) {
    return `${request.type} request: ${(error as Error).message}`;
  }
}

/** Control rings every second, also without a request. */
function handleRequests(): void {
  tunnel.peers.traffic.readClock();
  for (;;) {
    const received = receiveMessageOnPort(control as NonNullable<typeof control>);
    if (received === undefined) return;
    const request = received.message as Request;
    const answer = apply(request);
    if (typeof answer === 'string') reply({ type: 'rejected', id: request.id, reason: answer });
    else reply({ type: 'done', id: request.id, answer });
  }
}

// Reading and writing open descriptors needs no privilege.
reduceCapabilities([]);
reply({ type: 'started', busyRounds: idle.busyRounds });
const failure = loop.run(handleRequests);
if (failure !== undefined) {
  const { port, errno } = failure;
  // No port failed: another worker can go on.
  if (port === 'wait') throw new SystemError('ppoll', -errno);
  reply({ type: 'failed', port, errno });
}
