/** A capture of several threads, in the text format. */

import t from 'tap';
import { Capture } from '../../../../src/dataplane/capture/capture.js';
import { Recorder } from '../../../../src/dataplane/capture/recorder.js';
import { createRing } from '../../../../src/dataplane/capture/ring-reader.js';
import { CaptureSource } from '../../../../src/dataplane/capture/source.js';
import { wallClock } from '../../../../src/sys/wall-clock.js';
import { Kit } from '../../../support/kit.js';

const FILTER = { inner: true, outer: false, drops: false, snaplen: 262_144, peer: null };
const NAME = { name: 'inner', description: '' };

/** Returns a capture of so many threads, and a function that records an empty frame of a length in one of them. */
function rig(threads: number, now?: () => number) {
  const kit = new Kit(1);
  const rings = Array.from({ length: threads }, createRing);
  const recorders = rings.map((ring) => {
    const recorder = new Recorder({ view: kit.arena.view, headerLength: 0, lowersTtl: false, maxInbound: 1 });
    recorder.begin(ring, FILTER);
    return recorder;
  });
  const tunnel = { type: 'vxlan', vni: 1, peerCheck: 'strict', learning: false } as const;
  const dataplane = { tunnel, port: 8472, address: 1, transmit: [] };
  const source = new CaptureSource(rings, FILTER, { inner: NAME, outer: NAME }, dataplane);
  const record = (thread: number, length: number): void => {
    kit.fill([new Uint8Array(length)], 1);
    recorders[thread]?.outbound(kit.batch);
    const before = performance.now();
    while (performance.now() === before);
  };
  return { capture: new Capture([source], { format: 'text', count: undefined }, now), recorders, record };
}

const lengths = (chunk: Buffer | undefined): string[] =>
  [...(chunk?.toString() ?? '').matchAll(/, (\d+) bytes/g)].map(([, length = '']) => length);

t.test('the packets of several threads come in the order of their times', async (t) => {
  let now = wallClock();
  const { capture, recorders, record } = rig(2, () => now);
  record(0, 60);
  record(1, 70);
  recorders[1]?.publish();
  t.equal(capture.read(), undefined, 'the other thread has not published its earlier packet yet');
  recorders[0]?.publish();
  now += 60_000;
  t.strictSame(lengths(capture.read()), ['60', '70']);
});

t.test('the last packets are taken at once when no thread records any more', async (t) => {
  const { capture, recorders, record } = rig(2, () => 0);
  record(0, 60);
  recorders[0]?.publish();
  t.equal(capture.read(), undefined);
  t.strictSame(lengths(capture.readRest()), ['60']);
});

t.test('the packets of one thread need not wait', async (t) => {
  const { capture, recorders, record } = rig(1, () => 0);
  record(0, 60);
  recorders[0]?.publish();
  t.strictSame(lengths(capture.read()), ['60']);
});
