import t from 'tap';
import { demoScreen, type Result, type Shown, worked } from '../../../lab/demo-screen.js';
import { plain } from '../../../lab/paint.js';

const NODES = ['node1', 'node2', 'node3'];
const PODS = NODES.flatMap((node) => [`${node}-pod1`, `${node}-pod2`]);
const PAIRS = PODS.flatMap((from, index) =>
  PODS.slice(index + 1).map((to) => ({
    name: `${from} -> ${to}`,
    sameNode: from.slice(0, 5) === to.slice(0, 5),
  })),
);

function result(avg: number, gbits: number, received = 10): Result {
  return {
    pings: PAIRS.map(() => ({ sent: 10, received, min: avg, avg, max: avg })),
    gbits: NODES.map(() => gbits),
  };
}

const SHOWN: Shown = {
  nodes: 3,
  pods: 6,
  pairs: PAIRS,
  streams: NODES.map((_, index) => `node${index + 1}-pod1 -> node${((index + 1) % 3) + 1}-pod1`),
  weft: result(0.1, 6),
  kernel: result(0.2, 8),
  level: 'none',
  drops: { tx_drop_runt: 0 },
  release: '6.18.44',
  cores: 16,
};

/** The lines of a terminal, less one for the prompt of the shell. */
const LINES = 23;

function fits(lines: readonly string[]): boolean {
  return lines.length <= LINES && lines.every((line) => line.length <= 80);
}

t.test('the last screen of the demo fits on 80x24 and compares Weft with the kernel', async (t) => {
  const lines = demoScreen(SHOWN, plain);
  t.ok(fits(lines), lines.join('\n'));
  t.ok(worked(SHOWN));
  t.match(lines[1], 'Weft works here: 150 of 150 pings answered');
  t.match(lines.join('\n'), / TCP node1-pod1 -> node2-pod1, Gbit\/s +6\.00 +8\.00 +0\.75\n/);
  t.notMatch(lines.join('\n'), /drop/i, 'counters that are zero are left out');
});

t.test('the last screen of the demo has no comparison if the kernel has no vxlan', async (t) => {
  const lines = demoScreen({ ...SHOWN, kernel: undefined }, plain);
  t.ok(fits(lines), lines.join('\n'));
  t.match(lines.join('\n'), / TCP node1-pod1 -> node2-pod1, Gbit\/s +6\.00\n/);
  t.match(lines.join('\n'), '6.18.44) has no vxlan');
});

t.test('the last screen of the demo begins with the problems, and still fits', async (t) => {
  const shown = {
    ...SHOWN,
    weft: result(Number.NaN, 0, 0),
    drops: { tx_drop_unknown_mac: 7, rx_drop_unknown_vtep: 12_345_678, rx_drop_socket_overflow: 1_234_567 },
  };
  const lines = demoScreen(shown, plain);
  t.notOk(worked(shown));
  t.ok(fits(lines), lines.join('\n'));
  t.match(lines[1], 'Weft lost pings between 15 pairs of pods');
  t.match(lines[2], 'node1-pod1 -> node1-pod2: 0 of 10 pings answered');
  t.match(lines.join('\n'), 'and 12 more');
  t.match(lines.join('\n'), 'Drops: rx_drop_unknown_vtep 12345678, rx_drop_socket_overflow 1234567');
});
