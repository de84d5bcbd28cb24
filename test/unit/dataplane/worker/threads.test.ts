// The supervision of forwarding threads, whose workers are fakes that fail on request.

import { cpSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { until } from '../../../../lab/until.js';
import { COUNTER } from '../../../../src/dataplane/counters.js';
import {
  CodeReplaced,
  DataplaneGone,
  PortFailure,
  ThreadFailure,
  ThreadSilent,
} from '../../../../src/dataplane/errors.js';
import { NO_OFFLOAD } from '../../../../src/dataplane/offload/level.js';
import { DesiredState } from '../../../../src/dataplane/tunnel/desired-state.js';
import type { TunnelRequest } from '../../../../src/dataplane/tunnel/requests.js';
import { ForwardingThread, type ThreadOptions } from '../../../../src/dataplane/worker/thread.js';
import { ForwardingThreads } from '../../../../src/dataplane/worker/threads.js';

const ENTRY = new URL('../../../support/fake-worker.js', import.meta.url);
/** Faults of the fake (test/support/fake-worker.ts). */
const NONE = 100;
const THROW = 1;
const EXIT = 2;
const MEMORY = 3;
const LOOP = 4;
const BLOCK = 5;
const DEVICE_GONE = 6;
const LOOP_WITHOUT_STATE = 7;
/** The port of the first thread. */
const PORT = 8472;

/** Returns the number of open eventfds. */
function eventFds(): number {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      // That of the listing is closed.
      return '';
    }
  });
  return links.filter((link) => link === 'anon_inode:[eventfd]').length;
}

function options(index: number, vni = NONE): ThreadOptions {
  return {
    deviceFd: -1,
    socketFd: -1,
    txSocketFds: [],
    ipv6: false,
    offload: { ...NO_OFFLOAD, maxRun: 1 },
    busyPoll: 0,
    port: PORT + index,
    podMtu: 1450,
    tunnel: { type: 'vxlan', vni, peerCheck: 'strict', learning: false },
  };
}

function fault(high: number): TunnelRequest {
  return { type: 'own-mac', high, low: PORT };
}

interface Rig {
  threads: ForwardingThreads;
  desired: DesiredState;
  failures: Error[];
  log: string[];
}

function rig(t: Test, { count = 2, vni = NONE, entry = ENTRY } = {}): Rig {
  const failures: Error[] = [];
  const log: string[] = [];
  const desired = new DesiredState(false);
  const threads = new ForwardingThreads({
    device: 'flannel.1',
    threads: Array.from({ length: count }, (_, index) => options(index, vni)),
    events: { onFailure: (error) => failures.push(error), onThreadTrouble: (message) => log.push(message) },
    onRefusal: () => {},
    desired,
    entry,
  });
  t.teardown(() => threads.stop());
  return { threads, desired, failures, log };
}

for (const [name, number, cause] of [
  ['throws', THROW, /failed: TypeError: a fault of two lines \(fake-worker\.[jt]s:\d+/],
  ['exits', EXIT, /failed: it exited with code 3/],
  ['exhausts its heap', MEMORY, /failed: .*memory limit/],
] as const) {
  t.test(`a thread that ${name} is replaced, with the desired state and its counters`, async (t) => {
    const { threads, desired, log, failures } = rig(t, { count: 1 });
    await threads.start();
    const change: TunnelRequest = {
      type: 'fdb',
      remove: new Int32Array(0),
      set: Int32Array.of(0x0200, 11, 1),
    };
    desired.note(change);
    await threads.request(change);
    // The request fails each worker that gets it: at the fifth failure it is rejected.
    t.same(
      threads.counters.map((row) => row[COUNTER.tx_packets]),
      [1],
    );
    await t.rejects(threads.request(fault(number)), new DataplaneGone());
    t.equal(log.length, 4);
    t.match(log[0], /^forwarding thread 1 of flannel\.1 failed: [^\n]*; another one takes its place$/);
    t.match(log[0], cause);
    t.equal(threads.restarts, 4);
    t.match(failures, [{ message: /failure 5 within a minute/ }]);
    t.ok(failures[0] instanceof ThreadFailure);
    t.same(
      threads.counters.map((row) => row[COUNTER.tx_packets]),
      [1],
    );
  });
}

t.test(
  'a thread that does not answer for seconds is replaced, and the next answers its requests',
  async (t) => {
    const causes: string[] = [];
    let state: TunnelRequest[] = [];
    const thread = new ForwardingThread(ENTRY, options(0), () => state, {
      onCrash: (cause) => causes.push(cause) > 0,
      onFallback: () => {},
      onPortFailure: () => {},
    });
    t.teardown(() => thread.stop());
    await thread.started;
    t.same(await thread.request({ type: 'learned' }), { learned: [] });
    t.equal(thread.isSilent, false);
    const looping = thread.request(fault(LOOP_WITHOUT_STATE));
    const learned = thread.request({ type: 'learned' });
    for (let seconds = 1; seconds <= 3; seconds++) thread.tick();
    t.equal(thread.isSilent, true);
    t.same(causes, []);
    state = [{ type: 'peers' }];
    thread.tick();
    t.same(causes, ['it does not answer']);
    t.same(await looping, {});
    t.same(await learned, { learned: [{ mac: 'peers'.length, address: 0, ageMs: 0 }] });
    t.equal(thread.isSilent, false);
  },
);

t.test('only the thread that fails is replaced', async (t) => {
  const { threads, log } = rig(t);
  await threads.start();
  await t.rejects(threads.request(fault(THROW)), new DataplaneGone());
  t.equal(log.length, 4);
  for (const line of log) t.match(line, /thread 1 of/);
  const [, other] = threads.counters;
  await until('the answer of the other thread', () => other?.[COUNTER.tx_packets] === 1);
});

t.test('a thread that is gone with its device is not replaced', async (t) => {
  const { threads, log, failures } = rig(t, { count: 1 });
  await threads.start();
  await t.rejects(threads.request(fault(DEVICE_GONE)), new DataplaneGone());
  t.same(failures, [new PortFailure('overlay', 'flannel.1', 77)]);
  t.same(log, []);
  t.equal(threads.silent, null);
});

for (const [what, replace] of [
  ['another version has replaced', (path: URL) => writeFileSync(path, 'throw new Error("another version");')],
  ['is missing', (path: URL) => rmSync(path)],
] as const) {
  t.test(`a thread whose code on disk ${what} is not replaced, and ends the dataplane`, async (t) => {
    // Beside the original, for its imports.
    const entry = new URL(`./fake-worker-${process.pid}.js`, ENTRY);
    cpSync(ENTRY, entry);
    t.teardown(() => rmSync(entry, { force: true }));
    const { threads, log, failures } = rig(t, { count: 1, entry });
    await threads.start();
    replace(entry);
    await t.rejects(threads.request(fault(EXIT)), new DataplaneGone());
    t.strictSame(log, []);
    t.equal(threads.restarts, 0);
    const cause = 'forwarding thread 1 of flannel.1 failed: it exited with code 3';
    t.match(failures, [{ message: `${cause}, and an upgrade has replaced the code on disk` }]);
    t.ok(failures[0] instanceof CodeReplaced);
    const open = eventFds();
    t.throws(() => rig(t, { count: 1, entry }), new CodeReplaced(), 'a rebuilt device gets no thread of it');
    t.equal(eventFds(), open, 'its doorbell is closed');
  });
}

t.test('threads whose start fails end the dataplane at the fifth failure', async (t) => {
  const { threads, failures, log } = rig(t, { count: 1, vni: THROW });
  await threads.start();
  t.equal(failures.length, 1);
  t.equal(log.length, 4);
  await t.rejects(threads.request({ type: 'peers' }), new DataplaneGone());
});

for (const [name, number] of [
  ['loops', LOOP],
  ['blocks in a system call', BLOCK],
] as const) {
  t.test(`a thread that ${name} delays neither a question nor the stop`, async (t) => {
    const { threads, log } = rig(t, { count: 1 });
    await threads.start();
    await t.rejects(threads.ask(fault(number)), new ThreadSilent());
    await threads.stop();
    t.same(log, number === BLOCK ? ['forwarding thread 1 of flannel.1 does not end; abandoning it'] : []);
  });
}
