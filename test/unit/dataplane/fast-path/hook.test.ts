import t, { type Test } from 'tap';
import {
  type Attachment,
  Hook,
  type HookPlace,
  removeFilters,
} from '../../../../src/dataplane/fast-path/hook.js';
import { loadProgram, programId } from '../../../../src/sys/bpf.js';
import { close } from '../../../../src/sys/ffi.js';
import { SystemError } from '../../../../src/sys/system-error.js';
import { filtersOf, hooksOf } from '../../../../src/sys/traffic-control.js';
import { hex } from '../../../support/bytes.js';
import { withBpf } from '../../../support/fast-path.js';
import { enterOwnNetwork, indexOf, run } from '../../../support/own-network.js';

const BPF = withBpf();
const NETWORK = BPF.skip === false ? enterOwnNetwork() : BPF;
const DEVICE = 'tested';
/** r0 = -1 (TC_ACT_UNSPEC); exit */
const NEXT = hex('b7000000ffffffff 9500000000000000');

/** Returns a place at a new TAP, which the end of the test removes. */
function placeFor(t: Test, name: HookPlace['name'] = 'in'): HookPlace {
  run(`ip tuntap add dev ${DEVICE} mode tap`);
  t.teardown(() => run(`ip link delete ${DEVICE}`));
  return { name, ifindex: indexOf(DEVICE), direction: name === 'out' ? 'egress' : 'ingress' };
}

function hookFor(t: Test, place: HookPlace, attachment?: Attachment): Hook {
  const hook = new Hook(place, { pins: undefined, attachment });
  t.teardown(() => hook.release());
  return hook;
}

/** Returns the descriptor of a new program. */
function program(t: Test): number {
  const fd = loadProgram('weft_test', NEXT);
  t.teardown(() => close(fd));
  return fd;
}

/** Returns options for a test of TCX, which is reported as skipped by kernels before 6.6. */
function withTcx(): { skip: string | false } {
  if (NETWORK.skip !== false) return NETWORK;
  const fd = loadProgram('weft_test', NEXT);
  const hook = new Hook(
    { name: 'in', ifindex: 1, direction: 'ingress' },
    { pins: undefined, attachment: 'tcx' },
  );
  try {
    hook.attach(fd);
    return { skip: false };
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return { skip: `this kernel has no TCX: ${error.message}` };
  } finally {
    hook.release();
    close(fd);
  }
}

const WAYS: [Attachment, { skip: string | false }][] = [
  ['clsact', NETWORK],
  ['tcx', withTcx()],
];

for (const [way, options] of WAYS) {
  t.test(`a hook by ${way} is attached until it is detached`, options, async (t) => {
    const hook = hookFor(t, placeFor(t), way);
    t.equal(hook.isAttached, false);
    hook.attach(program(t));
    t.equal(hook.isAttached, true);
    t.equal(hook.attachment, way);
    hook.detach();
    t.equal(hook.isAttached, false);
    t.equal(hook.attachment, undefined);
  });

  t.test(`a hook by ${way} replaces its program`, options, async (t) => {
    const hook = hookFor(t, placeFor(t, 'out'), way);
    hook.attach(program(t));
    hook.attach(program(t));
    t.equal(hook.isAttached, true);
  });

  t.test(`a hook by ${way} notices that its interface is gone`, options, async (t) => {
    run('ip tuntap add dev gone mode tap');
    const hook = hookFor(t, { name: 'in', ifindex: indexOf('gone'), direction: 'ingress' }, way);
    hook.attach(program(t));
    run('ip link delete gone');
    t.equal(hook.isAttached, false);
  });
}

t.test(
  'a hook by clsact notices that its filter or qdisc is gone, and attaches it again',
  NETWORK,
  async (t) => {
    const hook = hookFor(t, placeFor(t), 'clsact');
    const fd = program(t);
    hook.attach(fd);
    for (const line of ['filter delete', 'qdisc delete']) {
      run(`tc ${line} dev ${DEVICE} ${line.startsWith('filter') ? 'ingress' : 'clsact'}`);
      t.equal(hook.isAttached, false, line);
      hook.attach(fd);
      t.equal(hook.isAttached, true, line);
    }
  },
);

t.test('a hook by clsact notices another program in its filter', NETWORK, async (t) => {
  const place = placeFor(t);
  const hook = hookFor(t, place, 'clsact');
  hook.attach(program(t));
  hookFor(t, place, 'clsact').attach(program(t));
  t.equal(hook.isAttached, false);
});

t.test('without a pin, and behind filters of other programs, a hook is a filter', NETWORK, async (t) => {
  const place = placeFor(t);
  run(`tc qdisc add dev ${DEVICE} clsact`);
  run(`tc filter add dev ${DEVICE} ingress protocol all bpf bytecode`, ['1,6 0 0 0']);
  const hook = hookFor(t, place);
  const fd = program(t);
  hook.attach(fd);
  t.equal(hook.attachment, 'clsact');
  t.same(
    filtersOf(place.ifindex, 'ingress').map(({ program }) => program),
    [0, programId(fd)],
  );
});

t.test(
  'removeFilters removes our filters, but no kept one and none of other programs',
  NETWORK,
  async (t) => {
    const place = placeFor(t);
    const out: HookPlace = { ...place, name: 'out', direction: 'egress' };
    for (const each of [place, out]) hookFor(t, each, 'clsact').attach(program(t));
    run(`tc filter add dev ${DEVICE} egress protocol all bpf bytecode`, ['1,6 0 0 0']);
    t.equal(removeFilters(hooksOf(), [place]), true);
    t.equal(filtersOf(place.ifindex, 'ingress').length, 1);
    t.same(
      filtersOf(place.ifindex, 'egress').map(({ program }) => program),
      [0],
    );
    t.equal(removeFilters(hooksOf(), [place]), false);
  },
);

t.test('removeFilters keeps a filter at an ingress qdisc', NETWORK, async (t) => {
  const place = placeFor(t);
  run(`tc qdisc add dev ${DEVICE} ingress`);
  const hook = hookFor(t, place, 'clsact');
  hook.attach(program(t));
  t.equal(removeFilters(hooksOf(), [place]), false);
  t.equal(hook.isAttached, true);
});

t.test('a hook by clsact fails at the egress of an ingress qdisc', NETWORK, async (t) => {
  const place = placeFor(t, 'out');
  run(`tc qdisc add dev ${DEVICE} ingress`);
  t.throws(() => hookFor(t, place, 'clsact').attach(program(t)), SystemError);
  t.same(filtersOf(place.ifindex, 'ingress'), []);
});
