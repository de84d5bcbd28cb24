/** A round of the forwarding loop between ports that do nothing: what the loop itself costs for a batch. */

import type { Port } from '../../src/dataplane/io/port.js';
import { Arena } from '../../src/dataplane/memory/arena.js';
import { PacketBatch } from '../../src/dataplane/memory/batch.js';
import { Doorbell } from '../../src/dataplane/worker/doorbell.js';
import { Idle } from '../../src/dataplane/worker/idle.js';
import { ForwardingLoop } from '../../src/dataplane/worker/loop.js';
import { sink, suite } from './suite.js';

const CAPACITY = 64;
const SLOT = 64;
const ROUNDS = 1000;

/** Returns a loop that runs ROUNDS rounds in each call. */
function rounds(packets: number): () => void {
  const arena = new Arena(4 * PacketBatch.footprint(CAPACITY, SLOT) + 65536);
  const [outbound, inbound, replies] = [1, 2, 3].map(() => new PacketBatch(arena, CAPACITY, SLOT));
  const handle = Doorbell.create();
  const doorbell = new Doorbell(handle);
  let left = 0;
  const port: Port = {
    receive(batch) {
      if (left-- <= 0) doorbell.stop();
      batch.count = packets;
      return 1;
    },
    send(batch) {
      sink[0] += batch.count;
    },
  };
  const tunnel = { encapsulate: () => {}, decapsulate: () => {} };
  const path = { overlay: port, underlay: port, tunnel, outbound, inbound, replies };
  const loop = new ForwardingLoop(path, doorbell, new Idle(arena, [handle.eventFd], 0));
  const flags = new Int32Array(handle.flags);
  return () => {
    flags.fill(0);
    left = 2 * ROUNDS;
    loop.run(() => {});
  };
}

export function run(): void {
  suite(`${ROUNDS} rounds of the forwarding loop, a batch in each direction`, {
    '1 packet a batch': rounds(1),
    '64 packets a batch': rounds(CAPACITY),
  });
}
