import t, { type Test } from 'tap';
import { Doorbell } from '../../../../src/dataplane/worker/doorbell.js';
import { POLLFD_SIZE, POLLIN } from '../../../../src/sys/constants.js';
import { addressOf, ppoll } from '../../../../src/sys/ffi.js';

/** Creates control's end and the worker's end from one handle, as two threads do. */
function ends(t: Test): { control: Doorbell; worker: Doorbell } {
  const handle = Doorbell.create();
  const control = new Doorbell(handle);
  t.teardown(() => control.close());
  return { control, worker: new Doorbell(structuredClone(handle)) };
}

/** Returns whether a poll on the doorbell would return at once. */
function wakes(doorbell: Doorbell): boolean {
  const pollfd = new Int32Array(POLLFD_SIZE / 4);
  pollfd[0] = doorbell.eventFd;
  pollfd[1] = POLLIN;
  const atOnce = addressOf(new Uint8Array(16));
  return ppoll(addressOf(new Uint8Array(pollfd.buffer)), 1, atOnce) === 1;
}

t.test('Doorbell neither wakes nor stops the worker before a ring', async (t) => {
  const { worker } = ends(t);
  t.equal(worker.answer(), false);
  t.equal(worker.stopped, false);
  t.equal(wakes(worker), false);
});

t.test('Doorbell.ring wakes the worker and is answered once', async (t) => {
  const { control, worker } = ends(t);
  control.ring();
  t.equal(wakes(worker), true);
  t.equal(worker.answer(), true);
  t.equal(wakes(worker), false);
  t.equal(worker.answer(), false);
  t.equal(worker.stopped, false);
});

t.test('Doorbell.answer answers several rings at once', async (t) => {
  const { control, worker } = ends(t);
  for (let i = 0; i < 300; i++) control.ring();
  t.equal(worker.answer(), true);
  t.equal(worker.answer(), false);
  t.equal(wakes(worker), false);
});

t.test('Doorbell.ring wakes the worker again after an answer', async (t) => {
  const { control, worker } = ends(t);
  control.ring();
  worker.answer();
  control.ring();
  t.equal(wakes(worker), true);
  t.equal(worker.answer(), true);
});

t.test('Doorbell.stop wakes the worker and stays set', async (t) => {
  const { control, worker } = ends(t);
  control.stop();
  t.equal(wakes(worker), true);
  t.equal(worker.stopped, true);
  t.equal(worker.answer(), true);
  t.equal(worker.stopped, true);
});
