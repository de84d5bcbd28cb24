import { once } from 'node:events';
import t from 'tap';
import { Doorbell } from '../../../../src/dataplane/worker/doorbell.js';
import { SpareWorker } from '../../../../src/dataplane/worker/spare-worker.js';

t.test('SpareWorker gives its worker away once', async (t) => {
  const spare = new SpareWorker();
  const started = spare.take();
  t.ok(started);
  t.equal(spare.take(), undefined);
  await started?.worker.terminate();
});

t.test('a worker that waits for its options ends when its doorbell is stopped', async (t) => {
  const started = new SpareWorker().take();
  if (started === undefined) throw new Error('no worker');
  new Doorbell(started.doorbell).stop();
  const [code] = await once(started.worker, 'exit');
  t.equal(code, 0);
});

t.test('discard leaves no worker to take', async (t) => {
  const spare = new SpareWorker();
  spare.discard();
  t.equal(spare.take(), undefined);
});
