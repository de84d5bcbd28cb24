import t from 'tap';
import { describeError } from '../../../src/sys/describe-error.js';

t.test('describeError returns name, message and calls in one line', async (t) => {
  const error = new TypeError('a fault\n  of two lines');
  error.stack = `TypeError: a fault
  of two lines
    at inner (file:///opt/weft/dist/a.js:12:3)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)
    at async /opt/weft/dist/b.js:3:7`;
  t.equal(describeError(error), 'TypeError: a fault of two lines (a.js:12 < b.js:3)');
});

t.test('describeError describes what is not an Error', async (t) => {
  t.equal(describeError('a\nstring'), 'a string');
  t.equal(describeError(undefined), 'undefined');
});
