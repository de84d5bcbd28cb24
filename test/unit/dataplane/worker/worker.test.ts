// The forwarding thread between a socket pair, which stands for the device queue, and a UDP socket on loopback.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { until } from '../../../../lab/until.js';
import { COUNTER } from '../../../../src/dataplane/counters.js';
import {
  openTxSockets,
  openUdpSockets,
  prepareTxSocket,
  setGro,
} from '../../../../src/dataplane/io/udp-socket.js';
import { COUNTER_ROW_SIZE } from '../../../../src/dataplane/load.js';
import { NO_OFFLOAD } from '../../../../src/dataplane/offload/level.js';
import type { TunnelOptions } from '../../../../src/dataplane/tunnel/options.js';
import type { TunnelAnswer, TunnelRequest } from '../../../../src/dataplane/tunnel/requests.js';
import { Doorbell } from '../../../../src/dataplane/worker/doorbell.js';
import type { Reply, WorkerOptions } from '../../../../src/dataplane/worker/messages.js';
import { addressOf, close, read, write } from '../../../../src/sys/ffi.js';
import { IPV4 } from '../../../../src/sys/sockaddr.js';
import { concat, hex, ipv4, mac, pattern, toHex } from '../../../support/bytes.js';
import { MAC_A, MAC_B, MAC_C, packetOf, tcpFrame, udpFrame } from '../../../support/frames.js';
import { freePort } from '../../../support/free-port.js';
import { naiveSegments, withPartialChecksum } from '../../../support/reference.js';
import { socketpair } from '../../../support/socketpair.js';

/** This node has MAC_A and this address; its peer has MAC_B. */
const OURS = '127.0.0.1';
const THEIRS = '127.0.0.2';
const VXLAN: TunnelOptions = { type: 'vxlan', vni: 1, peerCheck: 'strict', learning: false };
const HEADER = hex('0800000000000100');

type Done = Extract<Reply, { type: 'done' }>;

class Thread {
  readonly counters = new Float64Array(new SharedArrayBuffer(COUNTER_ROW_SIZE));
  readonly doorbell: Doorbell;
  readonly peer: Socket;
  readonly udpPort: number;
  readonly received: Buffer[] = [];
  readonly replies: Reply[] = [];
  readonly worker: Worker;
  readonly exited: Promise<unknown>;
  private readonly tunnel: TunnelOptions;
  private readonly tap: [near: number, far: number];
  private readonly socket: number;
  private readonly txSockets: number[];
  private readonly buffer = new Uint8Array(65536);
  private nextId = 1;

  private constructor(udpPort: number, peer: Socket, tunnel: TunnelOptions, options: Partial<WorkerOptions>) {
    const handle = Doorbell.create();
    this.doorbell = new Doorbell(handle);
    this.udpPort = udpPort;
    this.peer = peer;
    this.tunnel = tunnel;
    this.tap = socketpair();
    [this.socket] = openUdpSockets(ipv4(OURS), udpPort, 1);
    if (options.offload?.level === 'gso') setGro(this.socket, true);
    if (tunnel.type === 'udp') prepareTxSocket(this.socket, IPV4);
    this.txSockets = tunnel.type === 'vxlan' ? openTxSockets(ipv4(OURS)) : [];
    const workerData: WorkerOptions = {
      deviceFd: this.tap[0],
      socketFd: this.socket,
      txSocketFds: tunnel.type === 'vxlan' ? this.txSockets : [this.socket],
      ipv6: false,
      offload: NO_OFFLOAD,
      busyPoll: 0,
      busyRounds: undefined,
      state: [],
      ...options,
      port: udpPort,
      podMtu: 1450,
      tunnel,
      doorbell: handle,
      counters: this.counters.buffer as SharedArrayBuffer,
    };
    this.worker = new Worker(new URL('../../../../src/dataplane/worker/worker.js', import.meta.url), {
      workerData,
      // Omit tap's module hooks: they take longer to load than the worker.
      execArgv: [],
    });
    this.worker.on('message', (reply: Reply) => this.replies.push(reply));
    this.exited = once(this.worker, 'exit');
    peer.on('message', (message) => this.received.push(message));
  }

  static async start(
    t: Test,
    tunnel: Partial<TunnelOptions> = {},
    options: Partial<WorkerOptions> = {},
  ): Promise<Thread> {
    const udpPort = await freePort(OURS);
    const peer = createSocket('udp4');
    peer.bind(udpPort, THEIRS);
    await once(peer, 'listening');
    const thread = new Thread(udpPort, peer, { ...VXLAN, ...tunnel } as TunnelOptions, options);
    t.teardown(() => thread.stop());
    await until('the start', () => thread.replies.length === 1);
    t.match(thread.replies.shift(), { type: 'started' });
    if (thread.tunnel.type === 'vxlan') await thread.ask({ type: 'own-mac', ...mac(MAC_A) });
    return thread;
  }

  post(request: TunnelRequest): number {
    const id = this.nextId++;
    this.worker.postMessage({ ...request, id });
    this.doorbell.ring();
    return id;
  }

  async replyTo(request: TunnelRequest): Promise<Reply> {
    const id = this.post(request);
    const isAnswer = (reply: Reply): boolean => 'id' in reply && reply.id === id;
    await until('a reply', () => this.replies.some(isAnswer));
    return this.replies.find(isAnswer) as Reply;
  }

  async ask(request: TunnelRequest): Promise<TunnelAnswer> {
    return ((await this.replyTo(request)) as Done).answer;
  }

  async addPeer(address: string, vtep: string): Promise<void> {
    const { high, low } = mac(address);
    await this.ask({ type: 'fdb', remove: new Int32Array(0), set: Int32Array.of(high, low, ipv4(vtep)) });
  }

  /** Sends a frame from a pod; returns a negated errno when the device queue is full. */
  sendFrame(frame: Uint8Array): number {
    return write(this.tap[1], addressOf(frame), frame.length);
  }

  /** Waits for the next frame for a pod. */
  async receiveFrame(): Promise<Uint8Array> {
    let length = -1;
    await until('a frame', () => {
      length = read(this.tap[1], addressOf(this.buffer), this.buffer.length);
      return length >= 0;
    });
    return this.buffer.slice(0, length);
  }

  async sendDatagram(datagram: Uint8Array): Promise<void> {
    await new Promise((resolve) => this.peer.send(datagram, this.udpPort, OURS, resolve));
  }

  /** Waits until a counter has this value; the worker writes it after sending the packet. */
  async counts(name: keyof typeof COUNTER, value: number): Promise<void> {
    await until(`${name} ${value}`, () => this.counters[COUNTER[name]] === value);
  }

  async stop(): Promise<void> {
    this.doorbell.stop();
    await this.exited;
    this.doorbell.close();
    for (const fd of [...this.tap, this.socket, ...this.txSockets]) close(fd);
    await new Promise<void>((resolve) => this.peer.close(() => resolve()));
  }
}

const OUT = tcpFrame({ destination: MAC_B, source: MAC_A, payload: pattern(1000) });
const IN = tcpFrame({ destination: MAC_A, source: MAC_B, payload: pattern(999) });

t.test('the worker sends frames as VXLAN datagrams and delivers datagrams as frames', async (t) => {
  const thread = await Thread.start(t);
  await thread.addPeer(MAC_B, THEIRS);
  thread.sendFrame(OUT);
  await until('a datagram', () => thread.received.length === 1);
  t.equal(toHex(thread.received[0] as Buffer), toHex(concat(HEADER, OUT)));
  await thread.sendDatagram(concat(HEADER, IN));
  t.equal(toHex(await thread.receiveFrame()), toHex(IN));
  await thread.counts('tx_packets', 1);
  await thread.counts('tx_bytes', OUT.length);
  await thread.counts('rx_packets', 1);
  await thread.counts('rx_bytes', IN.length);
});

t.test('the worker forwards more frames than a batch, completely and in order', async (t) => {
  const thread = await Thread.start(t);
  await thread.addPeer(MAC_B, THEIRS);
  const count = 150;
  const frames = Array.from({ length: count }, (_, index) =>
    tcpFrame({ destination: MAC_B, source: MAC_A, identification: index }),
  );
  for (const frame of frames) thread.sendFrame(frame);
  await until(`${count} datagrams`, () => thread.received.length === count);
  t.same(
    thread.received.map(toHex),
    frames.map((frame) => toHex(concat(HEADER, frame))),
  );
});

t.test('the worker applies FDB changes before it answers, removals first', async (t) => {
  const thread = await Thread.start(t);
  const b = mac(MAC_B);
  const c = mac(MAC_C);
  const theirs = ipv4(THEIRS);
  const both = Int32Array.of(b.high, b.low, theirs, c.high, c.low, theirs);
  await thread.ask({ type: 'fdb', remove: new Int32Array(0), set: both });
  thread.sendFrame(OUT);
  thread.sendFrame(tcpFrame({ destination: MAC_C, source: MAC_A }));
  await until('2 datagrams', () => thread.received.length === 2);
  const remove = Int32Array.of(b.high, b.low, c.high, c.low);
  await thread.ask({ type: 'fdb', remove, set: both.slice(3) });
  thread.sendFrame(OUT);
  await thread.counts('tx_drop_unknown_mac', 1);
  thread.sendFrame(tcpFrame({ destination: MAC_C, source: MAC_A }));
  await until('3 datagrams', () => thread.received.length === 3);
  await thread.counts('tx_packets', 3);
});

t.test('the worker answers each request once, in order', async (t) => {
  const thread = await Thread.start(t);
  const first = thread.replies.length;
  const ids = Array.from({ length: 20 }, () => thread.post({ type: 'own-mac', ...mac(MAC_A) }));
  await until('20 replies', () => thread.replies.length === first + 20);
  t.same(
    thread.replies.slice(first).map((reply) => (reply as Done).id),
    ids,
  );
});

t.test('the worker rejects a request of another tunnel type and keeps answering', async (t) => {
  const thread = await Thread.start(t);
  const routes = { type: 'routes', remove: new Int32Array(0), set: ROUTE } as const;
  t.match(await thread.replyTo(routes), {
    type: 'rejected',
    reason: 'the vxlan tunnel has no routes request',
  });
  t.same(await thread.ask({ type: 'own-mac', ...mac(MAC_A) }), {});
  const udp = await Thread.start(t, UDP);
  t.match(await udp.replyTo({ type: 'learned' }), {
    type: 'rejected',
    reason: 'the udp tunnel has no learned request',
  });
  t.same(await udp.ask(routes), {});
});

t.test('the worker lists learned entries on request, and none where learning is off', async (t) => {
  const thread = await Thread.start(t, { learning: true, peerCheck: 'off' });
  await thread.sendDatagram(concat(HEADER, IN));
  await thread.receiveFrame();
  const { learned } = await thread.ask({ type: 'learned' });
  t.match(learned, [{ mac: 0x02000000000b, address: ipv4(THEIRS) }]);
  const other = await Thread.start(t);
  t.same((await other.ask({ type: 'learned' })).learned, []);
});

t.test('offload level none: the worker delivers the superpacket of a kernel peer as segments', async (t) => {
  const thread = await Thread.start(t);
  await thread.addPeer(MAC_B, THEIRS);
  const payload = pattern(30_000);
  const frame = tcpFrame({ destination: MAC_A, source: MAC_B, payload });
  // The pseudo-header's sum in the checksum field: 0af4 + 0102 + 0af4 + 0203 + 0006 + 7544
  new DataView(frame.buffer, frame.byteOffset).setUint16(14 + 20 + 16, 0x8e37);
  await thread.sendDatagram(concat(HEADER, frame));
  const parts: Uint8Array[] = [];
  while (parts.reduce((sum, { length }) => sum + length, 0) < payload.length) {
    parts.push((await thread.receiveFrame()).slice(54));
  }
  t.equal(parts[0]?.length, 1410);
  t.equal(toHex(concat(...parts)), toHex(payload));
});

const GSO: Partial<WorkerOptions> = {
  offload: { level: 'gso', uso: true, superpackets: true, maxRun: 64 },
  busyPoll: 50,
};

t.test('offload level gso: the worker sends a superpacket as datagrams', async (t) => {
  const thread = await Thread.start(t, {}, GSO);
  await thread.addPeer(MAC_B, THEIRS);
  const options = { destination: MAC_B, source: MAC_A, payload: pattern(20_000) };
  for (const [header, frame] of [
    [hex('01 01 0000 7805 2200 1000'), tcpFrame(options)],
    [hex('01 05 0000 7805 2200 0600'), udpFrame(options)],
  ] as [Uint8Array, Uint8Array][]) {
    thread.received.length = 0;
    thread.sendFrame(concat(header, withPartialChecksum(frame)));
    const expected = naiveSegments(frame, 1400).map((segment) => toHex(concat(HEADER, segment)));
    await until(`${expected.length} datagrams`, () => thread.received.length === expected.length);
    t.same(thread.received.map(toHex), expected);
  }
  await thread.counts('tx_packets', 30);
  await thread.counts('tx_trains', 2);
});

t.test('offload level gso: the worker delivers the datagrams of a flow as superpackets', async (t) => {
  const thread = await Thread.start(t, {}, GSO);
  await thread.addPeer(MAC_B, THEIRS);
  const segments = Array.from({ length: 40 }, (_, index) =>
    tcpFrame({
      destination: MAC_A,
      source: MAC_B,
      payload: pattern(1000, index),
      sequence: index * 1000,
      identification: index,
    }),
  );
  for (const segment of segments) await thread.sendDatagram(concat(HEADER, segment));
  const came: string[] = [];
  while (came.length < segments.length) {
    const packet = await thread.receiveFrame();
    const frame = packet.slice(10);
    if (packet[1] === 0) came.push(toHex(frame));
    else came.push(...naiveSegments(frame, 1000).map(toHex));
  }
  t.same(came, segments.map(toHex));
  await thread.counts('rx_packets', 40);
});

t.test(
  'offload level gso: the worker delivers the superpacket of a kernel peer as one superpacket',
  async (t) => {
    const thread = await Thread.start(t, {}, GSO);
    await thread.addPeer(MAC_B, THEIRS);
    const frame = tcpFrame({ destination: MAC_A, source: MAC_B, payload: pattern(30_000) });
    await thread.sendDatagram(concat(HEADER, withPartialChecksum(frame)));
    // NEEDS_CSUM, TCPV4, 54 bytes of headers, segments of 1450 - 40, checksum at 34 + 16.
    t.equal(
      toHex(await thread.receiveFrame()),
      toHex(concat(hex('01 01 3600 8205 2200 1000'), withPartialChecksum(frame))),
    );
  },
);

const UDP: TunnelOptions = { type: 'udp', address: ipv4('10.244.1.0'), peerCheck: 'strict' };

/** Returns a packet of the udp tunnel from 10.244.1.2 to 10.244.2.3, or back, with this TTL. */
function routed(ttl: number, { back = false, payload = pattern(1000) } = {}): Uint8Array {
  const [ours, theirs] = [ipv4('10.244.1.2'), ipv4('10.244.2.3')];
  return packetOf(
    tcpFrame({
      payload,
      mutate: (frame) => {
        const view = new DataView(frame.buffer, 14);
        view.setUint8(8, ttl);
        view.setInt32(12, back ? theirs : ours);
        view.setInt32(16, back ? ours : theirs);
      },
    }),
  );
}

const ROUTE = Int32Array.of(ipv4('10.244.2.0'), 24, ipv4(THEIRS));

for (const [level, options, vnet] of [
  ['none', {}, hex('')],
  ['gso', GSO, new Uint8Array(10)],
] as [string, Partial<WorkerOptions>, Uint8Array][]) {
  t.test(
    `udp, offload level ${level}: the worker sends datagrams from the port that it receives on`,
    async (t) => {
      const thread = await Thread.start(t, UDP, options);
      const sources: number[] = [];
      thread.peer.on('message', (_, { port }) => sources.push(port));
      await thread.ask({ type: 'routes', remove: new Int32Array(0), set: ROUTE });
      thread.sendFrame(concat(vnet, routed(64)));
      await until('a datagram', () => thread.received.length === 1);
      t.equal(toHex(thread.received[0] as Buffer), toHex(routed(63)));
      t.same(sources, [thread.udpPort]);
      await thread.sendDatagram(routed(63, { back: true }));
      t.equal(toHex(await thread.receiveFrame()), toHex(concat(vnet, routed(62, { back: true }))));
      await thread.counts('tx_packets', 1);
      await thread.counts('tx_bytes', routed(64).length);
      await thread.counts('rx_packets', 1);
      await thread.counts('rx_bytes', routed(64).length);
    },
  );

  t.test(
    `udp, offload level ${level}: the worker follows the routes and sends ICMP errors back to the source`,
    async (t) => {
      const thread = await Thread.start(t, UDP, options);
      thread.sendFrame(concat(vnet, routed(64)));
      const unreachable = (await thread.receiveFrame()).slice(vnet.length);
      t.equal(toHex(unreachable.slice(20, 22)), '0300');
      t.equal(toHex(unreachable.slice(28)), toHex(routed(64).slice(0, 548)));
      await thread.ask({ type: 'routes', remove: new Int32Array(0), set: ROUTE });
      await thread.sendDatagram(routed(1, { back: true }));
      await until('a datagram', () => thread.received.length === 1);
      const exceeded = new Uint8Array(thread.received[0] as Buffer);
      t.equal(toHex(exceeded.slice(20, 22)), '0b00');
      t.equal(toHex(exceeded.slice(28)), toHex(routed(1, { back: true }).slice(0, 548)));
      await thread.ask({ type: 'routes', remove: ROUTE.slice(0, 2), set: new Int32Array(0) });
      thread.sendFrame(concat(vnet, routed(64)));
      await thread.counts('tx_drop_no_route', 2);
      await thread.counts('tx_icmp_sent', 2);
      await thread.counts('rx_drop_ttl', 1);
      await thread.counts('rx_icmp_sent', 1);
    },
  );
}

t.test(
  'udp, offload level gso: the worker sends superpackets as datagrams and delivers datagrams as superpackets',
  async (t) => {
    const thread = await Thread.start(t, UDP, GSO);
    await thread.ask({ type: 'routes', remove: new Int32Array(0), set: ROUTE });
    const ethernet = new Uint8Array(14);
    const payload = pattern(20_000);
    const out = withPartialChecksum(concat(ethernet, routed(64, { payload })));
    thread.sendFrame(concat(hex('01 01 0000 7805 1400 1000'), packetOf(out)));
    const sent = naiveSegments(concat(ethernet, routed(63, { payload })), 1400).map(packetOf);
    await until(`${sent.length} datagrams`, () => thread.received.length === sent.length);
    t.same(thread.received.map(toHex), sent.map(toHex));
    await thread.counts('tx_trains', 1);

    const back = naiveSegments(concat(ethernet, routed(63, { back: true, payload })), 1000).map(packetOf);
    const wanted = naiveSegments(concat(ethernet, routed(62, { back: true, payload })), 1000).map(packetOf);
    for (const datagram of back) await thread.sendDatagram(datagram);
    const came: Uint8Array[] = [];
    while (came.length < back.length) {
      const packet = await thread.receiveFrame();
      const whole = concat(ethernet, packet.slice(10));
      came.push(...(packet[1] === 0 ? [whole] : naiveSegments(whole, 1000)).map(packetOf));
    }
    t.same(came.map(toHex), wanted.map(toHex));
  },
);

t.test('the worker exits when it is stopped while it waits for packets', async (t) => {
  const thread = await Thread.start(t);
  thread.doorbell.stop();
  t.same(await thread.exited, [0]);
});

t.test('the worker exits when it is stopped under load', async (t) => {
  const thread = await Thread.start(t);
  await thread.addPeer(MAC_B, THEIRS);
  // Refills the device queue until the worker has exited.
  const fill = (): void => {
    while (thread.sendFrame(OUT) >= 0);
  };
  const filling = setInterval(fill, 0);
  t.teardown(() => clearInterval(filling));
  await until('load', () => thread.counters[COUNTER.tx_packets] > 1000);
  const sent = thread.counters[COUNTER.tx_packets];
  await until('more load', () => thread.counters[COUNTER.tx_packets] > sent + 1000);
  fill();
  thread.doorbell.stop();
  t.same(await thread.exited, [0]);
});
