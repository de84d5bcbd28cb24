// The kernel is a script here: each call of sendmmsg returns the next result, or accepts all messages when none is left.

import t from 'tap';
import { SendTable } from '../../../../src/dataplane/io/send-table.js';
import { Sender } from '../../../../src/dataplane/io/sender.js';
import { Ipv4SockaddrCodec } from '../../../../src/dataplane/io/sockaddr-codec.js';
import { concat, ipv4, pattern, toHex } from '../../../support/bytes.js';
import { gathered, segmentSize } from '../../../support/kernel-structures.js';
import { Kit } from '../../../support/kit.js';

const EINTR = 4;
const EIO = 5;
const EBADF = 9;
const EAGAIN = 11;
const EINVAL = 22;
const EMSGSIZE = 90;
const ENETUNREACH = 101;
const ENOBUFS = 105;
const EHOSTUNREACH = 113;

const TUNNEL = 8;
const FD = -7;
const MESSAGE = 64n;

interface Call {
  fd: number;
  /** Payload of each message, as hex, and the gsoSize that the kernel is asked for. */
  payloads: string[];
  sizes: number[];
}

interface Rig {
  kit: Kit;
  table: SendTable;
  sender: Sender;
  calls: Call[];
  fallbacks: number[];
  /** Adds one message per run and sends them; a run is a list of datagrams. */
  send(...runs: Uint8Array[][]): void;
}

function rig(script: readonly number[]): Rig {
  const kit = new Kit(1, 65_536);
  const { arena, counters } = kit;
  const codec = new Ipv4SockaddrCodec(arena);
  const table = new SendTable(arena, 8, 64, codec, 8472);
  const calls: Call[] = [];
  const fallbacks: number[] = [];
  const results = [...script];
  const sender = new Sender(
    arena,
    { txSockets: [-1, FD], codec, port: 8472, tunnelLength: TUNNEL, maxRun: 64 },
    counters,
    (errno) => fallbacks.push(errno),
    (fd, first, count) => {
      const messages = Array.from(
        { length: count },
        (_, index) => Number(first + BigInt(index) * MESSAGE) - arena.base,
      );
      calls.push({
        fd,
        payloads: messages.map((message) => toHex(gathered(arena, message))),
        sizes: messages.map((message) => segmentSize(arena, message)),
      });
      return results.shift() ?? count;
    },
  );
  const send = (...runs: Uint8Array[][]): void => {
    let at = kit.batch.slot(0);
    table.clear();
    for (const run of runs) {
      table.begin(ipv4('192.168.77.2'), 0, (run[0] as Uint8Array).length);
      for (const datagram of run) {
        // Two pieces each: headers and payload.
        arena.bytes.set(datagram, at);
        table.add(at, 4);
        table.add(at + 4, datagram.length - 4);
        at += datagram.length;
      }
      table.end(run.length);
    }
    sender.send(table, 1);
  };
  return { kit, table, sender, calls, fallbacks, send };
}

const RUN = [pattern(100, 1), pattern(100, 2), pattern(50, 3)];
const ONE = [pattern(70, 4)];
const OTHER = [pattern(80, 5)];

function hexOf(run: readonly Uint8Array[]): string {
  return toHex(concat(...run));
}

t.test('Sender passes all messages to one call and counts datagrams, inner bytes and runs', async (t) => {
  const { kit, calls, send } = rig([]);
  send(RUN, ONE);
  t.same(calls, [{ fd: FD, payloads: [hexOf(RUN), hexOf(ONE)], sizes: [100, 0] }]);
  t.same(kit.counted(), { tx_packets: 4, tx_bytes: 320 - 4 * TUNNEL, tx_trains: 1 });
});

t.test('Sender continues behind a partial success', async (t) => {
  const { kit, calls, send } = rig([1]);
  send(RUN, ONE, OTHER);
  t.same(
    calls.map(({ payloads }) => payloads),
    [
      [hexOf(RUN), hexOf(ONE), hexOf(OTHER)],
      [hexOf(ONE), hexOf(OTHER)],
    ],
  );
  t.same(kit.counted(), { tx_packets: 5, tx_bytes: 400 - 5 * TUNNEL, tx_trains: 1 });
});

t.test('Sender repeats a call that EINTR interrupted', async (t) => {
  const { kit, calls, send } = rig([-EINTR, -EINTR]);
  send(ONE);
  t.equal(calls.length, 3);
  t.same(kit.counted(), { tx_packets: 1, tx_bytes: 70 - TUNNEL });
});

t.test('Sender waits once for a full send buffer', async (t) => {
  const { kit, calls, send } = rig([-EAGAIN]);
  send(ONE, OTHER);
  t.equal(calls.length, 2);
  t.same(kit.counted(), { tx_packets: 2, tx_bytes: 150 - 2 * TUNNEL });
});

t.test('Sender drops the rest of the burst when the send buffer stays full', async (t) => {
  const { kit, calls, send } = rig([1, -EAGAIN, -EAGAIN]);
  send(ONE, RUN, OTHER);
  t.equal(calls.length, 3);
  t.same(kit.counted(), { tx_packets: 1, tx_bytes: 70 - TUNNEL, tx_drop_socket_full: 4 });
});

for (const [name, errno, counter] of [
  ['ENETUNREACH', ENETUNREACH, 'tx_drop_unreachable'],
  ['EHOSTUNREACH', EHOSTUNREACH, 'tx_drop_unreachable'],
  ['ENOBUFS', ENOBUFS, 'tx_drop_socket_full'],
  ['EBADF', EBADF, 'tx_drop_send_error'],
] as const) {
  t.test(`Sender drops the first message on ${name}, a run too, and sends the others`, async (t) => {
    const { kit, calls, fallbacks, send } = rig([-errno, -errno]);
    send(RUN, ONE, OTHER);
    t.same(calls.at(-1)?.payloads, [hexOf(OTHER)]);
    t.same(kit.counted(), { tx_packets: 1, tx_bytes: 80 - TUNNEL, [counter]: 4 });
    t.same(fallbacks, []);
  });
}

for (const [name, errno] of [
  ['EINVAL', EINVAL],
  ['EMSGSIZE', EMSGSIZE],
] as const) {
  t.test(
    `Sender replays a run that ${name} refuses, datagram by datagram, and keeps sending runs`,
    async (t) => {
      const { kit, sender, calls, fallbacks, send } = rig([1, -errno]);
      send(ONE, RUN, OTHER);
      t.same(
        calls.slice(1).map(({ payloads }) => payloads),
        [[hexOf(RUN), hexOf(OTHER)], RUN.map((datagram) => toHex(datagram)), [hexOf(OTHER)]],
      );
      t.same(calls[2]?.sizes, [0, 0, 0]);
      t.same(kit.counted(), { tx_packets: 5, tx_bytes: 400 - 5 * TUNNEL, tx_trains_replayed: 1 });
      t.same([sender.gso, fallbacks], [true, []]);
    },
  );

  t.test(`Sender drops a single datagram that ${name} refuses`, async (t) => {
    const { kit, send } = rig([-errno]);
    send(ONE);
    t.same(kit.counted(), { tx_drop_send_error: 1 });
  });
}

t.test('Sender falls back on EIO, reports it once and loses nothing', async (t) => {
  // Each run is refused, its replay accepted.
  const { kit, sender, fallbacks, send } = rig([-EIO, 3, -EIO]);
  send(RUN, RUN);
  t.same(kit.counted(), {
    tx_packets: 6,
    tx_bytes: 500 - 6 * TUNNEL,
    tx_trains_replayed: 2,
    offload_step_downs: 1,
  });
  t.same([sender.gso, fallbacks], [false, [EIO]]);
});

t.test('Sender drops a datagram of a replayed run that is refused again, and sends the others', async (t) => {
  const { kit, send } = rig([-EINVAL, 1, -EMSGSIZE]);
  send(RUN);
  t.same(kit.counted(), {
    tx_packets: 2,
    tx_bytes: 150 - 2 * TUNNEL,
    tx_trains_replayed: 1,
    tx_drop_send_error: 1,
  });
});

for (const [name, errno, counter] of [
  ['EINVAL', EINVAL, 'tx_drop_send_error'],
  ['ENETUNREACH', ENETUNREACH, 'tx_drop_unreachable'],
] as const) {
  t.test(
    `Sender drops a run whose replay ${name} refuses at once, with two calls, and sends the others`,
    async (t) => {
      const { kit, sender, calls, send } = rig([-EINVAL, -errno]);
      send(RUN, ONE);
      t.equal(calls.length, 3);
      t.same(calls[2]?.payloads, [hexOf(ONE)]);
      t.same(kit.counted(), { tx_packets: 1, tx_bytes: 70 - TUNNEL, tx_trains_replayed: 1, [counter]: 3 });
      t.equal(sender.gso, true);
    },
  );
}

t.test('Sender.FOOTPRINT covers what a sender reserves of the arena', async (t) => {
  const { arena, counters } = new Kit(1);
  const codec = new Ipv4SockaddrCodec(arena);
  const before = arena.reserve(0);
  new Sender(arena, { txSockets: [], codec, port: 1, tunnelLength: 0, maxRun: 64 }, counters, () => {});
  t.ok(arena.reserve(0) - before <= Sender.FOOTPRINT);
});
