// Preloaded into a real Weft (node --import): makes one forwarding thread fail. The thread that is first asked something
// after the file $WEFT_TEST_FAULT appeared takes the file away and fails as its text says.

import { readFileSync, renameSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import threads, { isMainThread } from 'node:worker_threads';
import koffi from 'koffi';
import type { WorkerOptions } from '../../../src/dataplane/worker/messages.js';

const libc = koffi.load(null);

/** A spare worker gets its options by a message. */
let options = threads.workerData as WorkerOptions;

const FAULTS: Readonly<Record<string, () => void>> = {
  throw: () => {
    throw new TypeError('injected\nfault');
  },
  exit: () => process.exit(3),
  memory: () => {
    const kept: unknown[] = [];
    for (;;) kept.push(Array.from({ length: 1000 }, () => ({})));
  },
  loop: () => {
    for (;;);
  },
  /** A system call that never returns. */
  block: () => void libc.func('int pause()')(),
  close: (which = '') => {
    const { deviceFd, socketFd, txSocketFds, doorbell } = options;
    const descriptors = {
      device: [deviceFd],
      socket: [socketFd],
      transmit: txSocketFds,
      doorbell: [doorbell.eventFd],
    };
    for (const fd of descriptors[which as keyof typeof descriptors]) libc.func('int close(int)')(fd);
  },
};

const file = process.env.WEFT_TEST_FAULT ?? '';

if (isMainThread) {
  const fifo = process.env.WEFT_TEST_FIFO;
  // It blocks a thread of libuv for ever.
  if (fifo !== undefined) void readFile(fifo);
  // The main thread fails at SIGUSR2.
  process.on('SIGUSR2', () => {
    throw new TypeError('injected\nfault');
  });
} else {
  const receive = threads.receiveMessageOnPort;
  threads.receiveMessageOnPort = (port) => {
    const taken = `${file}.${threads.threadId}`;
    try {
      renameSync(file, taken);
    } catch {
      const received = receive(port);
      if (received !== undefined && 'deviceFd' in received.message)
        options = received.message as WorkerOptions;
      return received;
    }
    const [fault = '', ...args] = readFileSync(taken, 'utf8').trim().split(' ');
    rmSync(taken);
    (FAULTS[fault] as (...args: string[]) => void)(...args);
    return receive(port);
  };
  syncBuiltinESMExports();
}
