import t, { type Test } from 'tap';
import { loadProgram, programId } from '../../../src/sys/bpf.js';
import { close } from '../../../src/sys/ffi.js';
import { SystemError } from '../../../src/sys/system-error.js';
import {
  addClsact,
  type Direction,
  deleteFilter,
  filtersOf,
  hooksOf,
  setFilter,
} from '../../../src/sys/traffic-control.js';
import { hex } from '../../support/bytes.js';
import { withBpf } from '../../support/fast-path.js';
import { enterOwnNetwork, indexOf, run } from '../../support/own-network.js';

const BPF = withBpf();
const NETWORK = BPF.skip === false ? enterOwnNetwork() : BPF;
const DEVICE = 'tested';
const FILTER = { priority: 65000, handle: 1, name: 'weft_test' };
const MISSING = 0x7ffffff0;
const ENODEV = 19;
/** r0 = -1 (TC_ACT_UNSPEC); exit */
const NEXT = hex('b7000000ffffffff 9500000000000000');

/** Returns the index of a new TAP, which the end of the test removes. */
function device(t: Test): number {
  run(`ip tuntap add dev ${DEVICE} mode tap`);
  t.teardown(() => run(`ip link delete ${DEVICE}`));
  return indexOf(DEVICE);
}

/** Returns the descriptor of a new program, and its id. */
function program(t: Test): { fd: number; id: number } {
  const fd = loadProgram('weft_test', NEXT);
  t.teardown(() => close(fd));
  return { fd, id: programId(fd) };
}

/** Returns the kinds of the device's qdiscs with hooks. */
function qdiscs(): string[] {
  const all = JSON.parse(run(`tc -json qdisc show dev ${DEVICE}`)) as { kind: string }[];
  return all.map(({ kind }) => kind).filter((kind) => kind === 'clsact' || kind === 'ingress');
}

/** Adds a filter of another program, which matches no packet. */
function addForeign(direction: Direction, priority: number, filter = ['bpf', 'bytecode', '1,6 0 0 0']): void {
  run(`tc filter add dev ${DEVICE} ${direction} prio ${priority} protocol all`, filter);
}

function thrownBy(call: () => void): SystemError | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    if (error instanceof SystemError) return error;
    throw error;
  }
}

t.test('addClsact adds one qdisc, for both hooks', NETWORK, async (t) => {
  const index = device(t);
  for (const direction of ['ingress', 'egress', 'egress'] as const) addClsact(index, direction);
  t.same(qdiscs(), ['clsact']);
});

t.test('addClsact leaves a clsact qdisc of another program, with its filters', NETWORK, async (t) => {
  const index = device(t);
  run(`tc qdisc add dev ${DEVICE} clsact`);
  addForeign('ingress', 10);
  addClsact(index, 'ingress');
  t.same(
    filtersOf(index, 'ingress').map(({ priority, kind }) => [priority, kind]),
    [[10, 'bpf']],
  );
});

t.test('addClsact leaves an ingress qdisc', NETWORK, async (t) => {
  const index = device(t);
  run(`tc qdisc add dev ${DEVICE} ingress`);
  addClsact(index, 'ingress');
  t.same(qdiscs(), ['ingress']);
});

t.test('addClsact throws for a missing interface', NETWORK, async (t) => {
  t.equal(thrownBy(() => addClsact(MISSING, 'ingress'))?.errno, ENODEV);
});

t.test('hooksOf lists all interfaces with hooks', NETWORK, async (t) => {
  const index = device(t);
  t.same(hooksOf(), []);
  addClsact(index, 'ingress');
  t.same(hooksOf(), [index]);
});

for (const direction of ['ingress', 'egress'] as const) {
  const other = direction === 'ingress' ? 'egress' : 'ingress';

  t.test(`setFilter adds a filter to ${direction} only`, NETWORK, async (t) => {
    const index = device(t);
    const { fd, id } = program(t);
    addClsact(index, 'ingress');
    setFilter(index, direction, FILTER, fd);
    t.same(filtersOf(index, direction), [{ ...FILTER, kind: 'bpf', program: id }]);
    t.same(filtersOf(index, other), []);
    t.match(
      run(`tc filter show dev ${DEVICE} ${direction}`),
      /protocol all pref 65000 bpf .*weft_test direct-action/,
    );
  });

  t.test(`setFilter replaces the program of ${direction}`, NETWORK, async (t) => {
    const index = device(t);
    const [first, second] = [program(t), program(t)];
    addClsact(index, 'ingress');
    setFilter(index, direction, FILTER, first.fd);
    setFilter(index, direction, FILTER, second.fd);
    t.same(filtersOf(index, direction), [{ ...FILTER, kind: 'bpf', program: second.id }]);
  });

  t.test(`deleteFilter removes the filter of ${direction} and no other`, NETWORK, async (t) => {
    const index = device(t);
    const { fd } = program(t);
    addClsact(index, 'ingress');
    for (const each of ['ingress', 'egress'] as const) setFilter(index, each, FILTER, fd);
    setFilter(index, direction, { ...FILTER, handle: 2 }, fd);
    addForeign(direction, 10);
    deleteFilter(index, direction, FILTER);
    t.same(
      filtersOf(index, direction).map(({ priority, handle }) => [priority, handle]),
      [
        [10, 1],
        [65000, 2],
      ],
    );
    t.equal(filtersOf(index, other).length, 1);
  });

  t.test(`filtersOf has the filters of ${direction} in the order of their priorities`, NETWORK, async (t) => {
    const index = device(t);
    addClsact(index, 'ingress');
    setFilter(index, direction, FILTER, program(t).fd);
    addForeign(direction, 49152);
    addForeign(direction, 1);
    t.same(
      filtersOf(index, direction).map(({ priority, kind, name }) => [priority, kind, name]),
      [
        [1, 'bpf', ''],
        [49152, 'bpf', ''],
        [65000, 'bpf', 'weft_test'],
      ],
    );
  });
}

t.test('a filter ends with its qdisc', NETWORK, async (t) => {
  const index = device(t);
  addClsact(index, 'ingress');
  setFilter(index, 'ingress', FILTER, program(t).fd);
  run(`tc qdisc delete dev ${DEVICE} clsact`);
  t.same(filtersOf(index, 'ingress'), []);
  t.same(hooksOf(), []);
});

t.test('setFilter throws without a qdisc', NETWORK, async (t) => {
  const index = device(t);
  t.not(
    thrownBy(() => setFilter(index, 'ingress', FILTER, program(t).fd)),
    undefined,
  );
});

t.test('setFilter throws where a filter of another kind has its priority', NETWORK, async (t) => {
  const index = device(t);
  addClsact(index, 'ingress');
  addForeign('ingress', FILTER.priority, ['u32', 'match', 'u32', '1', '1']);
  t.not(
    thrownBy(() => setFilter(index, 'ingress', FILTER, program(t).fd)),
    undefined,
  );
  t.ok(filtersOf(index, 'ingress').every(({ kind }) => kind === 'u32'));
});

t.test('deleteFilter and filtersOf find nothing without qdisc, filter or interface', NETWORK, async (t) => {
  const index = device(t);
  t.same(filtersOf(MISSING, 'ingress'), []);
  t.same(filtersOf(index, 'ingress'), []);
  deleteFilter(MISSING, 'ingress', FILTER);
  deleteFilter(index, 'ingress', FILTER);
  addClsact(index, 'ingress');
  deleteFilter(index, 'ingress', FILTER);
  t.same(filtersOf(index, 'ingress'), []);
});

t.test('filtersOf reads a long list', NETWORK, async (t) => {
  const index = device(t);
  const { fd } = program(t);
  addClsact(index, 'ingress');
  for (let handle = 1; handle <= 300; handle++) setFilter(index, 'ingress', { ...FILTER, handle }, fd);
  t.equal(filtersOf(index, 'ingress').length, 300);
});

t.test('an ingress qdisc has no egress hook, and leaves its filters to ingress', NETWORK, async (t) => {
  const index = device(t);
  run(`tc qdisc add dev ${DEVICE} ingress`);
  setFilter(index, 'ingress', FILTER, program(t).fd);
  t.not(
    thrownBy(() => addClsact(index, 'egress')),
    undefined,
  );
  t.same(filtersOf(index, 'egress'), []);
  deleteFilter(index, 'egress', FILTER);
  t.equal(filtersOf(index, 'ingress').length, 1);
});
