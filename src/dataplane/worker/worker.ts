/** Entry of a forwarding thread: builds the path of its queue from the descriptors it was given and runs it. */

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { Checksum } from '../checksum/checksum.js';
import { TapPort } from '../io/tap.js';
import { UdpPort } from '../io/underlay.js';
import { Arena } from '../memory/arena.js';
import { PacketBatch } from '../memory/batch.js';
import { MessageVector } from '../memory/message-vector.js';
import { VxlanTunnel } from '../tunnel/vxlan.js';
import { ETHERNET_LENGTH } from '../wire/ethernet.js';
import { VXLAN_LENGTH } from '../wire/vxlan.js';
import { Doorbell } from './doorbell.js';
import { ForwardingLoop } from './loop.js';
import type { Reply, Request, WorkerOptions } from './messages.js';

/** Packets a system call: beyond this the gain is below a percent and the working set leaves the L2 cache. */
const BURST = 64;
/** Inner VLAN tags make a frame longer than Ethernet header and MTU. */
const VLAN_TAGS = 8;
/** A datagram can be as large as UDP allows: a superpacket of a kernel peer on a virtual link. */
const LARGEST_DATAGRAM = 65536;
/** iovec tables, pollfds, header scratch. */
const SMALL_STRUCTURES = 65536;

const options = workerData as WorkerOptions;
const control = parentPort;
if (control === null) throw new Error('worker.js is the entry of a worker thread');

const frameSize = ETHERNET_LENGTH + VLAN_TAGS + options.vxlan.mtu;
const arena = new Arena(
  PacketBatch.footprint(BURST, frameSize) +
    PacketBatch.footprint(BURST, LARGEST_DATAGRAM) +
    2 * MessageVector.footprint(BURST) +
    SMALL_STRUCTURES,
);
const counters = new Float64Array(options.counters);
const checksum = new Checksum(arena);
const tunnel = new VxlanTunnel(arena, checksum, counters, options.vxlan);
const doorbell = new Doorbell(options.doorbell);
const path = {
  overlay: new TapPort(arena, options.tapFd, checksum, counters),
  underlay: new UdpPort(arena, options.socketFd, options.port, BURST, VXLAN_LENGTH, counters),
  tunnel,
  outbound: new PacketBatch(arena, BURST, frameSize),
  inbound: new PacketBatch(arena, BURST, LARGEST_DATAGRAM),
};
const loop = new ForwardingLoop(arena, path, {
  tapFd: options.tapFd,
  socketFd: options.socketFd,
  doorbell,
});

function reply(message: Reply): void {
  control?.postMessage(message);
}

function handle(request: Request): void {
  switch (request.type) {
    case 'fdb': {
      const { remove, set } = request;
      for (let i = 0; i < remove.length; i += 2) tunnel.fdb.delete(remove[i], remove[i + 1]);
      for (let i = 0; i < set.length; i += 3) tunnel.fdb.set(set[i], set[i + 1], set[i + 2]);
      return reply({ type: 'done', id: request.id });
    }
    case 'own-mac':
      tunnel.setOwnMac(request.high, request.low);
      return reply({ type: 'done', id: request.id });
    case 'learned':
      return reply({ type: 'done', id: request.id, learned: tunnel.learned?.entries() ?? [] });
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
