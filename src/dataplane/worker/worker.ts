/** Entry of a forwarding thread: builds the path of its queue from the descriptors it was given and runs it. */

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { schedYield } from '../../sys/ffi.js';
import { Checksum } from '../checksum/checksum.js';
import { GroSplitter } from '../io/gro-splitter.js';
import { OverlayPort } from '../io/overlay.js';
import { OverlayGsoPort } from '../io/overlay-gso.js';
import { Ipv4SockaddrCodec, Ipv6SockaddrCodec } from '../io/sockaddr-codec.js';
import { UdpPort } from '../io/udp-port.js';
import { Arena } from '../memory/arena.js';
import { PacketBatch } from '../memory/batch.js';
import type { AddressTable } from '../tunnel/address-table.js';
import { applyChanges, applyIpv6Changes } from '../tunnel/changes.js';
import { LARGEST_ERROR } from '../tunnel/icmp-error.js';
import { Ipv6Addresses } from '../tunnel/ipv6-addresses.js';
import { UdpTunnel } from '../tunnel/udp.js';
import { VxlanTunnel } from '../tunnel/vxlan.js';
import { ETHERNET_LENGTH } from '../wire/ethernet.js';
import { VXLAN_LENGTH } from '../wire/vxlan.js';
import { Doorbell } from './doorbell.js';
import { Idle } from './idle.js';
import { ForwardingLoop } from './loop.js';
import type { FdbRequest, Reply, Request, WorkerOptions } from './messages.js';

/** Packets the device is read for before they are sent. */
const BURST = 64;
/** Datagrams a receive call may bring on rung `none`, and trains of datagrams on rung `gso`. */
const DATAGRAMS = 64;
const TRAINS = 16;
/** Error messages about the packets of one burst; more are not sent. */
const REPLIES = 16;
/** Inner VLAN tags make a frame longer than Ethernet header and MTU. */
const VLAN_TAGS = 8;
/** What the tun driver may hand over: an IP packet of 64 KB with its headers. */
const LARGEST_FRAME = 65536 + 64;
/** iovec tables, pollfds, header scratch. */
const SMALL_STRUCTURES = 65536;
/** Empty rounds by which the length of one is measured. */
const CALIBRATION_ROUNDS = 200;

const options = workerData as WorkerOptions;
const control = parentPort;
if (control === null) throw new Error('worker.js is the entry of a worker thread');

const gso = options.offload.rung === 'gso';
const receives = gso ? TRAINS : DATAGRAMS;
const isVxlan = options.tunnel.type === 'vxlan';
const tunnelLength = isVxlan ? VXLAN_LENGTH : 0;
const linkLength = isVxlan ? ETHERNET_LENGTH : 0;
const frameSize = gso ? LARGEST_FRAME : linkLength + VLAN_TAGS + options.mtu;
const arena = new Arena(
  PacketBatch.footprint(BURST, frameSize) +
    PacketBatch.footprint(REPLIES, LARGEST_ERROR) +
    UdpPort.footprint(receives) +
    SMALL_STRUCTURES,
);
const counters = new Float64Array(options.counters);
const checksum = new Checksum(arena);
const tunnel =
  options.tunnel.type === 'vxlan'
    ? new VxlanTunnel(arena, counters, options.tunnel)
    : new UdpTunnel(arena, checksum, counters, options.tunnel);
const ipv6Addresses = options.ipv6 ? new Ipv6Addresses() : undefined;
const doorbell = new Doorbell(options.doorbell);
const outbound = new PacketBatch(arena, BURST, frameSize);
const inbound = new PacketBatch(arena, GroSplitter.maxPackets(receives, gso), 0);
const replies = new PacketBatch(arena, REPLIES, LARGEST_ERROR);
const device = { fd: options.deviceFd, podMtu: options.podMtu, linkLength };
const overlay = gso
  ? new OverlayGsoPort(
      arena,
      { ...device, maxBatch: inbound.capacity, uso: options.offload.uso },
      checksum,
      counters,
      outbound,
    )
  : new OverlayPort(arena, device, checksum, counters, outbound);
const underlay = new UdpPort(
  arena,
  {
    fd: options.socketFd,
    txSockets: options.senderFds,
    codec:
      ipv6Addresses === undefined
        ? new Ipv4SockaddrCodec(arena)
        : new Ipv6SockaddrCodec(arena, ipv6Addresses),
    port: options.port,
    tunnelLength,
    linkLength,
    kernelPeers: isVxlan,
    gso,
    receiveMessages: receives,
    maxBatch: BURST,
  },
  checksum,
  counters,
  (errno) => reply({ type: 'stepped-down', errno }),
);
const idle = new Idle(
  arena,
  [options.deviceFd, options.socketFd, doorbell.eventFd],
  busyRounds(),
  options.busyPoll,
);
const loop = new ForwardingLoop({ overlay, underlay, tunnel, outbound, inbound, replies }, doorbell, idle);

/** How many empty rounds fill the time the worker may look on; the clock is not read while it forwards. */
function busyRounds(): number {
  if (options.busyPoll === 0) return 0;
  const start = performance.now();
  // The device is still down, so this takes no packet; the socket's side costs about as much.
  for (let i = 0; i < CALIBRATION_ROUNDS; i++) {
    overlay.receive(outbound);
    overlay.receive(outbound);
    schedYield();
  }
  const round = ((performance.now() - start) * 1000) / CALIBRATION_ROUNDS;
  return Math.max(1, Math.round(options.busyPoll / round));
}

function reply(message: Reply): void {
  control?.postMessage(message);
}

function changeFdb(fdb: AddressTable, request: FdbRequest): void {
  if (ipv6Addresses === undefined) applyChanges(fdb, request);
  else applyIpv6Changes(fdb, ipv6Addresses, request);
}

/** Control asks a tunnel only for what one of its kind has. */
function handle(request: Request): void {
  const vxlan = tunnel instanceof VxlanTunnel ? tunnel : undefined;
  switch (request.type) {
    case 'fdb':
      if (vxlan !== undefined) changeFdb(vxlan.fdb, request);
      return reply({ type: 'done', id: request.id });
    case 'routes':
      if (tunnel instanceof UdpTunnel) applyChanges(tunnel.routes, request);
      return reply({ type: 'done', id: request.id });
    case 'own-mac':
      vxlan?.setOwnMac(request.high, request.low);
      return reply({ type: 'done', id: request.id });
    case 'own-address':
      if (tunnel instanceof UdpTunnel) tunnel.setOwnAddress(request.address);
      return reply({ type: 'done', id: request.id });
    case 'learned':
      return reply({ type: 'done', id: request.id, learned: vxlan?.learned?.entries() ?? [] });
  }
}

function handleRequests(): void {
  for (;;) {
    const received = receiveMessageOnPort(control as NonNullable<typeof control>);
    if (received === undefined) return;
    handle(received.message as Request);
  }
}

reply({ type: 'started' });
const failure = loop.run(handleRequests);
if (failure !== undefined) reply({ type: 'failed', ...failure });
