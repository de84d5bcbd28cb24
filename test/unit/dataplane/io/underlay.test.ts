// The underlay is the loopback device; the peer is a socket of Node's own dgram, which shares no code with the port.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { openUdpSockets } from '../../../../src/dataplane/io/udp-socket.js';
import { UdpPort } from '../../../../src/dataplane/io/underlay.js';
import { CHECKSUM_COMPLETE } from '../../../../src/dataplane/memory/batch.js';
import { close } from '../../../../src/dataplane/sys/ffi.js';
import { ipv4, pattern, toHex } from '../../../support/bytes.js';
import { freePort } from '../../../support/free-port.js';
import { Kit } from '../../../support/kit.js';

const BURST = 8;
const EBADF = 9;
/** All VTEPs of a cluster have one port, so on one machine each needs an address of its own. */
const OURS = '127.0.0.1';
const THEIRS = '127.0.0.2';

interface Rig {
  kit: Kit;
  port: UdpPort;
  peer: Socket;
  udpPort: number;
  /** Datagrams the peer has received. */
  received: Buffer[];
}

async function rig(t: Test, { slotSize = 2048, gone = false, tunnelLength = 0 } = {}): Promise<Rig> {
  const kit = new Kit(BURST, slotSize);
  const udpPort = await freePort(OURS);
  const [fd] = openUdpSockets(ipv4(OURS), udpPort, 1);
  const peer = createSocket('udp4');
  peer.bind(udpPort, THEIRS);
  await once(peer, 'listening');
  const received: Buffer[] = [];
  peer.on('message', (message) => received.push(message));
  t.teardown(() => {
    peer.close();
    close(fd);
  });
  const port = new UdpPort(kit.arena, gone ? -1 : fd, udpPort, BURST, tunnelLength, kit.counters);
  return { kit, port, peer, udpPort, received };
}

async function send(peer: Socket, port: number, ...datagrams: Uint8Array[]): Promise<void> {
  for (const datagram of datagrams) {
    await new Promise<void>((resolve, reject) => {
      peer.send(datagram, port, OURS, (error) => (error === null ? resolve() : reject(error)));
    });
  }
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error('nothing came within 5 s');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

t.test('receive takes all datagrams that wait, with the addresses they came from', async (t) => {
  const { kit, port, peer, udpPort } = await rig(t);
  const datagrams = [pattern(100), pattern(1), pattern(2048)];
  await send(peer, udpPort, ...datagrams);
  t.equal(port.receive(kit.batch), 3);
  t.same(kit.packets().map(toHex), datagrams.map(toHex));
  for (let i = 0; i < 3; i++) {
    t.same(
      [kit.batch.offset[i], kit.batch.address[i], kit.batch.segmentSize[i], kit.batch.checksum[i]],
      [kit.batch.slot(i), ipv4(THEIRS), 0, CHECKSUM_COMPLETE],
    );
  }
});

t.test('receive stops at the capacity of the batch and takes the rest the next time', async (t) => {
  const { kit, port, peer, udpPort } = await rig(t);
  await send(peer, udpPort, ...Array.from({ length: BURST + 3 }, (_, index) => Uint8Array.of(index)));
  t.equal(port.receive(kit.batch), BURST);
  t.equal(port.receive(kit.batch), 3);
  t.same(kit.packets().map(toHex), ['08', '09', '0a']);
});

t.test('receive empties the batch when nothing waits', async (t) => {
  const { kit, port } = await rig(t);
  kit.fill([pattern(10)]);
  t.equal(port.receive(kit.batch), 0);
  t.equal(kit.batch.count, 0);
});

t.test('receive drops and counts what is larger than a slot, and closes the gap', async (t) => {
  const { kit, port, peer, udpPort } = await rig(t, { slotSize: 64 });
  await send(peer, udpPort, pattern(64), pattern(65), pattern(3));
  t.equal(port.receive(kit.batch), 3, 'dropped ones are taken too');
  t.same(kit.packets().map(toHex), [toHex(pattern(64)), toHex(pattern(3))]);
  t.same([kit.batch.address[0], kit.batch.address[1]], [ipv4(THEIRS), ipv4(THEIRS)]);
  t.same(kit.counted(), { rx_drop_truncated: 1 });
});

t.test('receive returns the negated errno of a socket that is gone', async (t) => {
  const { kit, port } = await rig(t, { gone: true });
  t.equal(port.receive(kit.batch), -EBADF);
  t.equal(kit.batch.count, 0);
});

t.test('send sends every packet to its VTEP, in order, and counts it', async (t) => {
  const { kit, port, received } = await rig(t);
  const packets = [pattern(100), pattern(1), pattern(1458)];
  kit.fill(packets, ipv4(THEIRS));
  port.send(kit.batch);
  await until(() => received.length === 3);
  t.same(received.map(toHex), packets.map(toHex));
  t.same(kit.counted(), { tx_packets: 3, tx_bytes: 1559 });
});

t.test('tx_bytes leaves the tunnel header out', async (t) => {
  const { kit, port } = await rig(t, { tunnelLength: 8 });
  kit.fill([pattern(108), pattern(58)], ipv4(THEIRS));
  port.send(kit.batch);
  t.same(kit.counted(), { tx_packets: 2, tx_bytes: 150 });
});

t.test('what one direction received does not change where the other sends', async (t) => {
  const { kit, port, peer, udpPort, received } = await rig(t);
  await send(peer, udpPort, pattern(5));
  port.receive(kit.batch);
  kit.fill([pattern(6)], ipv4(THEIRS));
  port.send(kit.batch);
  await until(() => received.length === 1);
  t.equal(toHex(received[0] as Buffer), toHex(pattern(6)));
});

t.test('a packet that cannot go costs the others nothing', async (t) => {
  const { kit, port, received } = await rig(t, { slotSize: 65536 });
  kit.fill([]);
  kit.add(pattern(10), ipv4(THEIRS));
  // A socket bound to loopback reaches nothing else; and no datagram has more than 65507 bytes.
  kit.add(pattern(10), ipv4('255.255.255.255'));
  kit.add(pattern(65508), ipv4(THEIRS));
  kit.add(pattern(11), ipv4(THEIRS));
  port.send(kit.batch);
  await until(() => received.length === 2);
  t.same(
    received.map(({ length }) => length),
    [10, 11],
  );
  t.same(kit.counted(), { tx_packets: 2, tx_bytes: 21, tx_drop_send_error: 2 });
});

t.test('send on a socket that is gone drops and counts everything', async (t) => {
  const { kit, port } = await rig(t, { gone: true });
  kit.fill([pattern(10), pattern(10), pattern(10)], ipv4(THEIRS));
  port.send(kit.batch);
  t.same(kit.counted(), { tx_drop_send_error: 3 });
});

t.test('an empty batch sends nothing', async (t) => {
  const { kit, port } = await rig(t);
  kit.fill([]);
  port.send(kit.batch);
  t.same(kit.counted(), {});
});

t.test('the peer sees the port of the cluster as the source port', async (t) => {
  const { kit, port, peer, udpPort } = await rig(t);
  kit.fill([pattern(10)], ipv4(THEIRS));
  const message = once(peer, 'message') as Promise<[Buffer, AddressInfo]>;
  port.send(kit.batch);
  const [, from] = await message;
  t.match(from, { address: OURS, port: udpPort });
});
