import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { Doorbell } from '../../../../src/dataplane/worker/doorbell.js';
import { Idle } from '../../../../src/dataplane/worker/idle.js';
import { addressOf, read } from '../../../../src/sys/ffi.js';
import { Kit } from '../../../support/kit.js';

const BUSY_ROUNDS = 3;
/** With 0 microseconds, a block only counts as short when a descriptor is readable already. */
const NO_BUSY_POLL = 0;

interface Rig {
  idle: Idle;
  eventFd: number;
  /** Lets a packet arrive: the worker waits, is woken and reads it. */
  packet(): void;
}

function rig(t: Test, busyRounds: number): Rig {
  const handle = Doorbell.create();
  const doorbell = new Doorbell(handle);
  t.teardown(() => doorbell.close());
  const idle = new Idle(new Kit(1).arena, [handle.eventFd], NO_BUSY_POLL);
  idle.busyRounds = busyRounds;
  const packet = (): void => {
    doorbell.ring();
    idle.wait();
    doorbell.answer();
    idle.reset();
  };
  return { idle, eventFd: handle.eventFd, packet };
}

const CALLS = 0;
const WOKEN = 1;

/** Makes the descriptor readable, and sets WOKEN, once the count of calls no longer changes because `wait` blocks. */
const RINGER = `
  const { flags, eventFd } = require('node:worker_threads').workerData;
  let seen = -1;
  const check = () => {
    const calls = Atomics.load(flags, ${CALLS});
    if (calls > 0 && calls === seen) {
      Atomics.store(flags, ${WOKEN}, 1);
      require('node:fs').writeSync(eventFd, new Uint8Array(new BigUint64Array([1n]).buffer));
    } else {
      seen = calls;
      setTimeout(check, 100);
    }
  };
  check();`;

/** Returns how often `wait` returns before it blocks. */
async function roundsBeforeBlock({ idle, eventFd }: Rig): Promise<number> {
  const flags = new Int32Array(new SharedArrayBuffer(8));
  const ringer = new Worker(RINGER, { eval: true, workerData: { flags, eventFd } });
  const exited = once(ringer, 'exit');
  await once(ringer, 'online');
  while (Atomics.load(flags, WOKEN) === 0) {
    Atomics.add(flags, CALLS, 1);
    idle.wait();
  }
  await exited;
  return Atomics.load(flags, CALLS) - 1;
}

t.test('Idle blocks at once before the first packet', async (t) => {
  for (const busyRounds of [0, BUSY_ROUNDS]) t.equal(await roundsBeforeBlock(rig(t, busyRounds)), 0);
});

t.test('Idle polls busyRounds times after a short block', async (t) => {
  for (const busyRounds of [0, BUSY_ROUNDS]) {
    const made = rig(t, busyRounds);
    made.packet();
    t.equal(await roundsBeforeBlock(made), busyRounds);
  }
});

t.test('Idle polls busyRounds times again after a packet', async (t) => {
  const made = rig(t, BUSY_ROUNDS);
  made.packet();
  made.idle.wait();
  made.idle.wait();
  made.idle.reset();
  t.equal(await roundsBeforeBlock(made), BUSY_ROUNDS);
});

t.test('Idle blocks at once after a long block', async (t) => {
  const made = rig(t, BUSY_ROUNDS);
  made.packet();
  await roundsBeforeBlock(made);
  // Read the event that ended the block; nothing follows it.
  read(made.eventFd, addressOf(new Uint8Array(8)), 8);
  made.idle.reset();
  t.equal(await roundsBeforeBlock(made), 0);
});
