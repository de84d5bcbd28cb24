import t from 'tap';
import { captureRequest } from '../../../src/cli/capture-options.js';

t.test('without options both views of all peers are captured whole', async (t) => {
  t.strictSame(captureRequest({}, 'pcapng'), {
    command: 'capture',
    inner: true,
    outer: true,
    drops: false,
    snaplen: 262_144,
    format: 'pcapng',
  });
});

t.test('options restrict the capture', async (t) => {
  const values = { inner: true, peer: '10.0.0.1', count: '5', snaplen: '64', drops: true };
  t.strictSame(captureRequest(values, 'text'), {
    command: 'capture',
    peer: '10.0.0.1',
    inner: true,
    outer: false,
    drops: true,
    snaplen: 64,
    count: 5,
    format: 'text',
  });
  t.match(captureRequest({ inner: true, outer: true }, 'text'), { inner: true, outer: true });
});

t.test('a number that is none is refused', async (t) => {
  for (const values of [
    { count: '0' },
    { count: '-1' },
    { snaplen: '1e3' },
    { snaplen: '262145' },
    { peer: '' },
  ])
    t.throws(() => captureRequest(values, 'text'), { message: /^--/ });
});
