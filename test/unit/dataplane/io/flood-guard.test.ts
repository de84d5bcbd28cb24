// Real sockets on loopback: 127.0.0.2 is a peer, 127.0.0.3 is not.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { type FilterRules, FloodGuard } from '../../../../src/dataplane/io/flood-guard.js';
import { SocketDrops } from '../../../../src/dataplane/io/socket-drops.js';
import { openUdpSockets } from '../../../../src/dataplane/io/udp-socket.js';
import { addressOf, close, recvmmsg } from '../../../../src/sys/ffi.js';
import { IPV4 } from '../../../../src/sys/sockaddr.js';
import { ipv4 } from '../../../support/bytes.js';
import { freePort } from '../../../support/free-port.js';

const PEER = '127.0.0.2';
const STRANGER = '127.0.0.3';
const LATE_PEER = '127.0.0.4';
const FLOOD = 5000;

const EMPTY = new Uint8Array(64);

/** Takes all waiting datagrams out of a socket and returns their number. */
function drain(fd: number): number {
  let count = 0;
  while (recvmmsg(fd, addressOf(EMPTY), 1, 0x40) === 1) count++;
  return count;
}

async function rig(t: Test, rules: Partial<FilterRules> = {}) {
  const port = await freePort('127.0.0.1');
  const fds = openUdpSockets(ipv4('127.0.0.1'), port, 1);
  const [fd = -1] = fds;
  t.teardown(() => close(fd));
  const workers = { refused: 0 };
  const drops = new SocketDrops(fds, IPV4);
  let leased = [ipv4(PEER)];
  const guard = new FloodGuard(
    fds,
    { ipv6: false, byAddress: true, ...rules },
    () => leased,
    () => workers.refused,
    drops,
  );
  const sockets = new Map<string, Socket>();
  t.teardown(() => {
    for (const socket of sockets.values()) socket.close();
  });
  return {
    fd,
    guard,
    workers,
    drops,
    /** Replaces the peer; the workers know it once `apply` resolves. */
    async replacePeer(apply: () => Promise<unknown>): Promise<void> {
      const leaving = leased;
      leased = [ipv4(LATE_PEER)];
      await guard.during(leaving, apply);
    },
    /** Sends datagrams from an address and returns how many the socket accepts. */
    async accepted(from: string, count = 300): Promise<number> {
      let socket = sockets.get(from);
      if (socket === undefined) {
        socket = createSocket('udp4');
        sockets.set(from, socket);
        socket.bind(0, from);
        await once(socket, 'listening');
      }
      for (let i = 0; i < count; i++) await new Promise((sent) => socket?.send('x', port, '127.0.0.1', sent));
      return drain(fd);
    },
  };
}

let now = performance.now();
/** Half a second later. */
const tick = (guard: FloodGuard) => guard.check((now += 500));

t.test('FloodGuard has no filter without a flood', async (t) => {
  const { guard, workers, accepted } = await rig(t);
  tick(guard);
  workers.refused += FLOOD / 2 - 1;
  tick(guard);
  t.equal(await accepted(STRANGER), 300);
});

t.test('FloodGuard filters unknown senders in a flood, counts them, and stops when it is over', async (t) => {
  const { guard, workers, drops, accepted } = await rig(t);
  tick(guard);
  workers.refused += FLOOD;
  tick(guard);
  const passed = await accepted(STRANGER, 2000);
  t.ok(passed > 0 && passed < 40, `${passed} of 2000 pass as samples`);
  t.equal(await accepted(PEER), 300, 'every datagram of a peer passes');
  const { rx_drop_filtered, rx_drop_socket_overflow } = drops.read();
  t.strictSame([rx_drop_filtered, rx_drop_socket_overflow], [2000 - passed, 0]);
  for (let i = 0; i < 22; i++) tick(guard);
  t.equal(await accepted(STRANGER), 300);
  t.equal(drops.read().rx_drop_filtered, 2000 - passed);
});

t.test('FloodGuard keeps the filter while the flood lasts, though the workers refuse little', async (t) => {
  const { guard, workers, accepted } = await rig(t);
  tick(guard);
  workers.refused += FLOOD;
  tick(guard);
  for (let i = 0; i < 22; i++) {
    await accepted(STRANGER, 400);
    tick(guard);
  }
  t.ok((await accepted(STRANGER)) < 20);
});

t.test(
  'FloodGuard passes a new peer before the workers know it, and a removed one until they do not',
  async (t) => {
    const { guard, workers, accepted, replacePeer } = await rig(t);
    tick(guard);
    workers.refused += FLOOD;
    tick(guard);
    await replacePeer(async () => {
      t.equal(await accepted(LATE_PEER), 300, 'new');
      t.equal(await accepted(PEER), 300, 'removed');
    });
    t.equal(await accepted(PEER), 300, 'removed, before the next check');
    tick(guard);
    t.ok((await accepted(PEER)) < 20, 'removed, after the next check');
    t.equal(await accepted(LATE_PEER), 300);
  },
);

t.test('FloodGuard keeps the addresses of a change that the workers refused', async (t) => {
  const { guard, workers, accepted, replacePeer } = await rig(t);
  const failure = replacePeer(() => Promise.reject(new Error('gone')));
  await t.rejects(failure, { message: 'gone' });
  tick(guard);
  workers.refused += FLOOD;
  tick(guard);
  t.equal(await accepted(PEER), 300);
  t.equal(await accepted(LATE_PEER), 300);
});

t.test('FloodGuard judges by the VNI alone when any sender may be a peer', async (t) => {
  const { guard, workers, accepted } = await rig(t, { byAddress: false, vni: 1 });
  tick(guard);
  workers.refused += FLOOD;
  tick(guard);
  t.ok((await accepted(PEER)) < 20, 'one byte is no VXLAN');
});
