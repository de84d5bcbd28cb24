import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { VERDICT } from '../../../../src/dataplane/fast-path/helpers.js';
import { keepsSuperpackets } from '../../../../src/dataplane/fast-path/superpackets.js';
import { ENTRY, ENTRY_SIZE, KEY_SIZE } from '../../../../src/dataplane/fast-path/tables.js';
import { readAll, updateElement } from '../../../../src/sys/bpf.js';
import { concat, pattern, viewOf } from '../../../support/bytes.js';
import {
  datagramOf,
  OUTER_IP,
  OUTER_UDP,
  ProgramRunner,
  type RunnerOptions,
  withBpf,
  withHeaderChecksum,
} from '../../../support/fast-path.js';
import { MAC_A, MAC_B, MAC_C, tcpFrame, udpFrame } from '../../../support/frames.js';

const BPF = withBpf();
const TO_US = { destination: MAC_A, source: MAC_B };
const TCP = tcpFrame({ ...TO_US, payload: pattern(3000) });
const UDP = udpFrame({ ...TO_US, payload: pattern(3000) });
/** Three segments. */
const SUPERPACKET = { gsoSize: 1000, gsoSegs: 3 };

function runnerFor(t: Test, options: RunnerOptions): ProgramRunner {
  const runner = new ProgramRunner(options);
  t.teardown(() => runner.close());
  return runner;
}

/** Returns the number of a UDP port on which a socket of this process receives. */
async function boundPort(t: Test): Promise<number> {
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  socket.bind(0);
  await once(socket, 'listening');
  return socket.address().port;
}

/** Returns a datagram to this port with this frame; from the other peer if the frame has MAC_C. */
function datagramTo(port: number, frame: Uint8Array): Uint8Array {
  const datagram = datagramOf(frame);
  viewOf(datagram).setUint16(OUTER_UDP + 2, port);
  const isOther = Buffer.from(frame.slice(6, 12)).toString('hex') === MAC_C.replaceAll(':', '');
  viewOf(datagram).setUint8(OUTER_IP + 15, isOther ? 3 : 2);
  return withHeaderChecksum(datagram);
}

/**
 * Returns verdicts of the decapsulate program. A superpacket of a test run has no type of GSO, so that the kernel refuses to
 * decapsulate it. Whether the program meant it for the threads shows in what follows it.
 */
function verdicts(
  runner: ProgramRunner,
  port: number,
  packets: readonly (readonly [frame: Uint8Array, context?: { gsoSize: number; gsoSegs: number }])[],
): string[] {
  return packets.map(([frame, context]) => {
    const { result } = runner.in(datagramTo(port, frame), context);
    return result === VERDICT.redirect ? 'fast' : result === VERDICT.next ? 'threads' : `${result}`;
  });
}

t.test('bridges keep superpackets of a tunnel whole since Linux 6.19', async (t) => {
  t.equal(keepsSuperpackets([6, 18, 44]), false);
  t.equal(keepsSuperpackets([6, 19, 0]), true);
  t.equal(keepsSuperpackets([7, 2, 1]), true);
});

t.test(
  'nothing follows a TCP superpacket into the threads where the kernel keeps it whole',
  BPF,
  async (t) => {
    const port = await boundPort(t);
    const runner = runnerFor(t, { port, isKept: true });
    t.same(verdicts(runner, port, [[TCP, SUPERPACKET], [TCP]])[1], 'fast');
  },
);

t.test(
  'where the kernel does not, a TCP superpacket and what follows it take the threads',
  BPF,
  async (t) => {
    const port = await boundPort(t);
    const runner = runnerFor(t, { port, isKept: false });
    const other = tcpFrame({ destination: MAC_A, source: MAC_C });
    const small = tcpFrame(TO_US);
    t.same(
      verdicts(runner, port, [[small], [TCP, SUPERPACKET], [small], [udpFrame(TO_US)], [other]]),
      ['fast', 'threads', 'threads', 'threads', 'fast'],
      'packets of another peer do not wait for it',
    );
  },
);

t.test('a packet takes the fast path again when the superpacket is long gone', BPF, async (t) => {
  const port = await boundPort(t);
  const runner = runnerFor(t, { port, isKept: false });
  verdicts(runner, port, [[TCP, SUPERPACKET]]);
  for (const { key, value } of readAll(runner.tables.forwarding, KEY_SIZE, ENTRY_SIZE, 4)) {
    if (value.readBigUInt64LE(ENTRY.superpacketTime) === 0n) continue;
    value.writeBigUInt64LE(1n, ENTRY.superpacketTime);
    updateElement(runner.tables.forwarding, key, value);
  }
  t.same(verdicts(runner, port, [[tcpFrame(TO_US)]]), ['fast']);
});

t.test('nothing follows a TCP superpacket into the threads if no socket receives it', BPF, async (t) => {
  const port = await boundPort(t);
  const elsewhere = (port % 60_000) + 1;
  const runner = runnerFor(t, { port: elsewhere, isKept: false });
  t.same(verdicts(runner, elsewhere, [[TCP, SUPERPACKET], [TCP]])[1], 'fast');
});

t.test('a UDP superpacket takes the threads in any case, and what follows it too', BPF, async (t) => {
  const port = await boundPort(t);
  for (const isKept of [true, false]) {
    const runner = runnerFor(t, { port, isKept });
    t.same(verdicts(runner, port, [[UDP, SUPERPACKET], [UDP]]), ['threads', 'threads']);
  }
});

t.test('datagrams that GRO joined take the threads, and what follows them too', BPF, async (t) => {
  const port = await boundPort(t);
  const runner = runnerFor(t, { port, isKept: true });
  const small = udpFrame(TO_US);
  const joined = concat(small, datagramOf(small).slice(OUTER_UDP + 8));
  t.same(verdicts(runner, port, [[joined, SUPERPACKET], [small]]), ['threads', 'threads']);
});

t.test('the comparison of entries ignores the times of superpackets', BPF, async (t) => {
  const port = await boundPort(t);
  const runner = runnerFor(t, { port, isKept: false });
  verdicts(runner, port, [[TCP, SUPERPACKET]]);
  t.equal(runner.correct(), 0);
});
