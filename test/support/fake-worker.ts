// The entry point of a worker that forwards nothing. An own-mac request makes it fail: `high` names the fault, and `low` is
// the port of the worker. The `vni` of its tunnel names a fault of the start.

import { parentPort, workerData } from 'node:worker_threads';
import koffi from 'koffi';
import { COUNTER } from '../../src/dataplane/counters.js';
import { Doorbell } from '../../src/dataplane/worker/doorbell.js';
import type { Reply, Request, WorkerOptions } from '../../src/dataplane/worker/messages.js';

const { state, doorbell: handle, counters, tunnel, port } = workerData as WorkerOptions;

const FAULTS: Readonly<Record<number, () => void>> = {
  1: () => {
    throw new TypeError('a fault\nof two lines');
  },
  2: () => process.exit(3),
  3: () => {
    const kept: unknown[] = [];
    for (;;) kept.push(Array.from({ length: 1000 }, () => ({})));
  },
  4: () => {
    for (;;);
  },
  /** Three seconds: a thread that blocked for ever would keep the test from ending. */
  5: () => void koffi.load(null).func('int poll(void *fds, long count, int timeout)')(null, 0, 3000),
  6: () => {
    post({ type: 'failed', port: 'overlay', errno: 77 });
    process.exit(0);
  },
  /** A worker that began with a state does not fail. */
  7: () => {
    while (state.length === 0);
  },
};

const doorbell = new Doorbell(handle);
const row = new Float64Array(counters);

function post(reply: Reply): void {
  parentPort?.postMessage(reply);
}

parentPort?.on('message', (request: Request) => {
  if (request.type === 'own-mac' && request.low === port) FAULTS[request.high]?.();
  row[COUNTER.tx_packets]++;
  // The answer shows the state that this worker began with.
  const learned = state.map(({ type }) => ({ mac: type.length, address: 0, ageMs: 0 }));
  post({ type: 'done', id: request.id, answer: request.type === 'learned' ? { learned } : {} });
});

setInterval(() => {
  doorbell.answer();
  if (doorbell.stopped) process.exit(0);
}, 2);

if (tunnel.type === 'vxlan') FAULTS[tunnel.vni]?.();
post({ type: 'started', busyRounds: 0 });
