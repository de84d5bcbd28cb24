// Each row of the table of errors, by the module that makes the call. The kernel returns the row's errno every time.

import t from 'tap';
import type { CounterName } from '../../../../src/dataplane/counters.js';
import { OverlayPort } from '../../../../src/dataplane/io/overlay.js';
import { OverlayGsoPort } from '../../../../src/dataplane/io/overlay-gso.js';
import { DRAINED } from '../../../../src/dataplane/io/port.js';
import { SendTable } from '../../../../src/dataplane/io/send-table.js';
import { Sender } from '../../../../src/dataplane/io/sender.js';
import { Ipv4SockaddrCodec } from '../../../../src/dataplane/io/sockaddr-codec.js';
import { UdpPort } from '../../../../src/dataplane/io/udp-port.js';
import { ETHERNET_LENGTH } from '../../../../src/dataplane/wire/ethernet.js';
import { Idle } from '../../../../src/dataplane/worker/idle.js';
import { CALL_ERRORS, type Call, type CallError } from '../../../../src/sys/call-errors.js';
import { errnoName } from '../../../../src/sys/errno.js';
import { ipv4, pattern } from '../../../support/bytes.js';
import { rawFrame, tcpFrame } from '../../../support/frames.js';
import { Kit } from '../../../support/kit.js';

const EAGAIN = 11;
const EBADF = 9;
const ENOBUFS = 105;
/** An errno that the table does not name: EXDEV. */
const UNKNOWN = 18;
const POLLNVAL = 0x20;

const FRAME = rawFrame('02:00:00:00:00:0b', '02:00:00:00:00:0a');
const SEGMENTS = [0, 1].map((index) => tcpFrame({ payload: pattern(1000), sequence: index * 1000 }));

function rows(call: Call): CallError[] {
  return CALL_ERRORS.filter((row) => row.call === call);
}

function deviceOptions(capacity: number) {
  const link = { fd: -1, podMtu: 1450, linkLength: ETHERNET_LENGTH };
  return { ...link, maxBatch: capacity, uso: true, superpackets: true };
}

/** A port of each level whose reads and writes are these. */
function devicePorts(
  kit: Kit,
  write: () => number,
  read: (...call: [number, bigint, number]) => number = () => -EAGAIN,
): [OverlayPort, OverlayGsoPort] {
  const { arena, checksum, counters, batch } = kit;
  const options = deviceOptions(batch.capacity);
  return [
    new OverlayPort(arena, options, checksum, counters, batch, write, read),
    new OverlayGsoPort(arena, options, checksum, counters, batch, () => {}, write, read),
  ];
}

for (const { errno, outcome } of [...rows('read'), { errno: UNKNOWN, outcome: 'count' }]) {
  t.test(`read of the device, ${errnoName(errno)}: ${outcome}`, async (t) => {
    for (const level of [0, 1] as const) {
      const kit = new Kit(4);
      const results: number[] = [];
      const port = devicePorts(
        kit,
        () => 0,
        () => results.shift() ?? -errno,
      )[level];
      const lasts = outcome === 'device gone' || outcome === 'fatal';
      t.equal(port.receive(kit.batch), lasts ? -errno : DRAINED);
      t.same(kit.counted(), outcome === 'count' ? { tx_receive_errors: 1 } : {});
      results.push(60);
      t.equal(port.receive(kit.batch), DRAINED, 'a packet before it is forwarded');
      t.equal(kit.batch.count, 1);
    }
  });
}

for (const { errno, outcome } of [...rows('writev'), { errno: UNKNOWN, outcome: 'lower' }]) {
  t.test(`writev to the device, ${errnoName(errno)}: ${outcome}`, async (t) => {
    const dropped = errno === EAGAIN ? 'rx_drop_device_full' : 'rx_drop_device_refused';
    for (const level of [0, 1] as const) {
      const kit = new Kit(4);
      const port = devicePorts(kit, () => -errno)[level];
      kit.fill([FRAME]);
      port.send(kit.batch);
      t.same(kit.counted(), { [dropped]: 1 });
      t.equal(port.receive(kit.batch), outcome === 'fatal' ? -errno : DRAINED, 'fatal ends the port');
    }
    const kit = new Kit(4);
    let calls = 0;
    const [, port] = devicePorts(kit, () => {
      calls++;
      return -errno;
    });
    kit.fill(SEGMENTS);
    port.send(kit.batch);
    const replayed = outcome === 'retry' || outcome === 'lower';
    t.equal(calls, replayed ? 3 : 1, 'a superpacket is written again as packets, or dropped');
    t.same(kit.counted(), { [dropped]: 2, ...(replayed && { rx_superpackets_replayed: 1 }) });
    for (let i = 0; i < 100; i++) {
      kit.fill(SEGMENTS);
      port.send(kit.batch);
    }
    t.equal(port.superpackets, outcome !== 'lower', 'only lower ends superpackets');
  });
}

/** A port whose receive call returns -errno. */
function udpPort(kit: Kit, tunnelLength: number, errno: number): UdpPort {
  const options = {
    fd: -1,
    txSockets: [-1],
    codec: new Ipv4SockaddrCodec(kit.arena),
    port: 8472,
    tunnelLength,
    linkLength: ETHERNET_LENGTH,
    kernelPeers: true,
    maxRun: 1,
    receiveMessages: 4,
    maxBatch: 4,
  };
  return new UdpPort(
    kit.arena,
    options,
    kit.checksum,
    kit.counters,
    () => {},
    () => -errno,
  );
}

for (const { errno, outcome } of [...rows('recvmmsg'), { errno: UNKNOWN, outcome: 'count' }]) {
  t.test(`recvmmsg, ${errnoName(errno)}: ${outcome}`, async (t) => {
    const kit = new Kit(4, 2048, UdpPort.footprint(4));
    const port = udpPort(kit, 8, errno);
    t.equal(port.receive(kit.batch), outcome === 'fatal' ? -errno : DRAINED);
    t.same(kit.counted(), outcome === 'count' ? { rx_receive_errors: 1 } : {});
  });
}

t.test('a transmit socket that fails ends the port with the next receive', async (t) => {
  const kit = new Kit(4, 2048, UdpPort.footprint(4));
  const port = udpPort(kit, 0, EAGAIN);
  t.equal(port.receive(kit.batch), DRAINED);
  kit.fill([FRAME], ipv4('192.168.77.2'));
  port.send(kit.batch);
  t.same(kit.counted(), { tx_drop_send_error: 1 });
  t.equal(port.receive(kit.batch), -EBADF);
  t.equal(kit.batch.count, 0);
});

/** The counter of datagrams that sendmmsg refuses. */
function sendCounter({ errno, outcome }: Pick<CallError, 'errno' | 'outcome'>): CounterName {
  if (outcome === 'underlay gone') return 'tx_drop_unreachable';
  return errno === EAGAIN || errno === ENOBUFS ? 'tx_drop_socket_full' : 'tx_drop_send_error';
}

for (const row of [...rows('sendmmsg'), { errno: UNKNOWN, outcome: 'count' } as const]) {
  const { errno, outcome } = row;
  t.test(`sendmmsg, ${errnoName(errno)}: ${outcome}`, async (t) => {
    const kit = new Kit(1, 65_536);
    const codec = new Ipv4SockaddrCodec(kit.arena);
    const table = new SendTable(kit.arena, 8, 64, codec, 8472);
    const options = { txSockets: [-1], codec, port: 8472, tunnelLength: 0, maxRun: 64 };
    const sender = new Sender(
      kit.arena,
      options,
      kit.counters,
      () => {},
      () => -errno,
    );
    // A single datagram, then a GSO run of three.
    for (const datagrams of [1, 3]) {
      table.begin(ipv4('192.168.77.2'), 0, 100);
      for (let i = 0; i < datagrams; i++) table.add(kit.batch.slot(0), 100);
      table.end(datagrams);
    }
    sender.send(table, 0);
    const replays = (outcome === 'retry' && errno !== EAGAIN) || outcome === 'lower';
    t.same(kit.counted(), {
      [sendCounter(row)]: 4,
      ...(replays && { tx_trains_replayed: 1 }),
      ...(outcome === 'lower' && { offload_step_downs: 1 }),
    });
    t.equal(sender.failure, outcome === 'fatal' ? errno : 0);
  });
}

for (const { errno, outcome } of rows('ppoll')) {
  t.test(`ppoll, ${errnoName(errno)}: ${outcome}`, async (t) => {
    const idle = new Idle(new Kit(1).arena, [-1, -1, -1], 0, () => -errno);
    t.equal(idle.wait(), outcome === 'fatal' ? -errno : 0);
  });
}

t.test('Idle reports a closed doorbell, and leaves the other descriptors to the ports', async (t) => {
  for (const closed of [0, 1, 2]) {
    const { arena } = new Kit(1);
    const idle = new Idle(arena, [-1, -1, -1], 0, (fds) => {
      const pollfd = Number(fds) - arena.base + closed * 8;
      arena.view.setUint16(pollfd + 6, POLLNVAL, true);
      return 1;
    });
    t.equal(idle.wait(), closed === 2 ? -EBADF : 0);
  }
});

t.test('the table has one row per call and errno, each with a source', async (t) => {
  const keys = CALL_ERRORS.map(({ call, errno }) => `${call} ${errno}`);
  t.equal(new Set(keys).size, keys.length);
  for (const { call, errno, source } of CALL_ERRORS)
    t.match(source, /: \S+/, `${call} ${errno} has a source`);
});
