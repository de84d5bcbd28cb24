import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { Doorbell } from '../../../../src/dataplane/worker/doorbell.js';
import { Idle } from '../../../../src/dataplane/worker/idle.js';
import { addressOf, read } from '../../../../src/sys/ffi.js';
import { Kit } from '../../../support/kit.js';

const BUSY_ROUNDS = 3;
/** Microseconds of looking on. None: then a block ends soon only when there is something to read already. */
const NONE = 0;

interface Rig {
  idle: Idle;
  eventFd: number;
  /** A packet: the worker waits, it comes, it is taken. */
  packet(): void;
}

function rig(t: Test, busyRounds: number): Rig {
  const handle = Doorbell.create();
  const doorbell = new Doorbell(handle);
  t.teardown(() => doorbell.close());
  const idle = new Idle(new Kit(1).arena, [handle.eventFd], busyRounds, NONE);
  const packet = (): void => {
    doorbell.ring();
    idle.wait();
    doorbell.answer();
    idle.reset();
  };
  return { idle, eventFd: handle.eventFd, packet };
}

const CALLS = 0;
const RUNG = 1;

/** Says so and makes the descriptor readable once the count of calls stands still: then `wait` blocks. */
const RINGER = `
  const { flags, eventFd } = require('node:worker_threads').workerData;
  let seen = -1;
  const look = () => {
    const calls = Atomics.load(flags, ${CALLS});
    if (calls > 0 && calls === seen) {
      Atomics.store(flags, ${RUNG}, 1);
      require('node:fs').writeSync(eventFd, new Uint8Array(new BigUint64Array([1n]).buffer));
    } else {
      seen = calls;
      setTimeout(look, 100);
    }
  };
  look();`;

/** How often `wait` returns before it blocks. */
async function roundsBeforeBlock({ idle, eventFd }: Rig): Promise<number> {
  const flags = new Int32Array(new SharedArrayBuffer(8));
  const ringer = new Worker(RINGER, { eval: true, workerData: { flags, eventFd } });
  const exited = once(ringer, 'exit');
  await once(ringer, 'online');
  while (Atomics.load(flags, RUNG) === 0) {
    Atomics.add(flags, CALLS, 1);
    idle.wait();
  }
  await exited;
  return Atomics.load(flags, CALLS) - 1;
}

t.test('a worker that nothing has come to blocks at once', async (t) => {
  for (const busyRounds of [0, BUSY_ROUNDS]) t.equal(await roundsBeforeBlock(rig(t, busyRounds)), 0);
});

t.test('after a block that ended soon it looks on for so many rounds', async (t) => {
  for (const busyRounds of [0, BUSY_ROUNDS]) {
    const made = rig(t, busyRounds);
    made.packet();
    t.equal(await roundsBeforeBlock(made), busyRounds);
  }
});

t.test('a packet meanwhile gives it as many again', async (t) => {
  const made = rig(t, BUSY_ROUNDS);
  made.packet();
  made.idle.wait();
  made.idle.wait();
  made.idle.reset();
  t.equal(await roundsBeforeBlock(made), BUSY_ROUNDS);
});

t.test('after a block that was long it blocks at once again', async (t) => {
  const made = rig(t, BUSY_ROUNDS);
  made.packet();
  await roundsBeforeBlock(made);
  // What ended that block is still to be read: it is taken, and nothing follows.
  read(made.eventFd, addressOf(new Uint8Array(8)), 8);
  made.idle.reset();
  t.equal(await roundsBeforeBlock(made), 0);
});
