import t, { type Test } from 'tap';
import { DRAINED, MORE, type Port } from '../../../../src/dataplane/io/port.js';
import type { PacketBatch } from '../../../../src/dataplane/memory/batch.js';
import { Doorbell } from '../../../../src/dataplane/worker/doorbell.js';
import { Idle } from '../../../../src/dataplane/worker/idle.js';
import { ForwardingLoop, type LoopFailure, type Path } from '../../../../src/dataplane/worker/loop.js';
import { Kit } from '../../../support/kit.js';

const CAPACITY = 4;

/** The result of each `receive` call: a number of packets, a negated errno, or a function that returns one. */
type Bursts = (number | (() => number))[];

/** Logs the loop's calls: `overlay.receive 4`, `overlay.send 4`. */
class FakePort implements Port {
  private readonly name: string;
  private readonly log: string[];
  private readonly bursts: Bursts;
  private readonly onEmpty: () => void;

  constructor(name: string, log: string[], bursts: Bursts, onEmpty: () => void) {
    this.name = name;
    this.log = log;
    this.bursts = bursts;
    this.onEmpty = onEmpty;
  }

  receive(batch: PacketBatch): number {
    const burst = this.bursts.shift() ?? DRAINED;
    const count = typeof burst === 'number' ? burst : burst();
    if (this.bursts.length === 0) this.onEmpty();
    this.log.push(`${this.name}.receive ${count}`);
    batch.count = Math.max(0, count);
    return count < 0 ? count : count === CAPACITY ? MORE : DRAINED;
  }

  send(batch: PacketBatch): void {
    this.log.push(`${this.name}.send ${batch.count}`);
  }
}

interface Rig {
  doorbell: Doorbell;
  log: string[];
  /** Runs the loop until both ports have delivered all their bursts. */
  run(overlay: Bursts, underlay: Bursts): LoopFailure | undefined;
  /** Measures this many rounds. */
  measure(rounds: number, overlay: Bursts, underlay: Bursts): number;
}

/** `outReplies` and `inReplies`: the number of the tunnel's replies to each burst in that direction. */
function rig(t: Test, { outReplies = 0, inReplies = 0 } = {}): Rig {
  const doorbell = new Doorbell(Doorbell.create());
  // An always readable descriptor keeps `Idle.wait` from blocking.
  const readable = new Doorbell(Doorbell.create());
  readable.ring();
  t.teardown(() => {
    doorbell.close();
    readable.close();
  });
  const log: string[] = [];
  const tunnel: Path['tunnel'] = {
    encapsulate: (batch, replies) => {
      log.push(`encapsulate ${batch.count}`);
      replies.count += outReplies;
    },
    decapsulate: (batch, replies) => {
      log.push(`decapsulate ${batch.count}`);
      replies.count += inReplies;
    },
  };
  const makeLoop = (overlay: Bursts, underlay: Bursts): ForwardingLoop => {
    const stop = (): void => {
      if (overlay.length === 0 && underlay.length === 0) doorbell.stop();
    };
    const { arena, batch } = new Kit(CAPACITY);
    const path = {
      overlay: new FakePort('overlay', log, overlay, stop),
      underlay: new FakePort('underlay', log, underlay, stop),
      tunnel,
      outbound: batch,
      inbound: new Kit(CAPACITY).batch,
      replies: new Kit(CAPACITY).batch,
    };
    const idle = new Idle(arena, [readable.eventFd, doorbell.eventFd], 0);
    return new ForwardingLoop(path, doorbell, idle);
  };
  return {
    doorbell,
    log,
    run: (overlay, underlay) => makeLoop(overlay, underlay).run(() => log.push('ring')),
    measure: (rounds, overlay, underlay) => makeLoop(overlay, underlay).measureRound(rounds),
  };
}

t.test(
  'ForwardingLoop encapsulates and sends bursts of the device, decapsulates and delivers bursts of the network',
  async (t) => {
    const { log, run } = rig(t);
    t.equal(run([2], [3]), undefined);
    t.same(log, [
      'overlay.receive 2',
      'encapsulate 2',
      'underlay.send 2',
      'underlay.receive 3',
      'decapsulate 3',
      'overlay.send 3',
    ]);
  },
);

t.test('ForwardingLoop sends replies once, to the port that the burst came from', async (t) => {
  const { log, run } = rig(t, { outReplies: 2, inReplies: 1 });
  run([3, 0], [4, 0]);
  t.same(
    log.filter((line) => line.includes('send')),
    ['underlay.send 3', 'overlay.send 2', 'overlay.send 4', 'underlay.send 1'],
  );
});

t.test('ForwardingLoop alternates between two busy ports, one batch each', async (t) => {
  const { log, run } = rig(t);
  run([CAPACITY, CAPACITY, 1], [CAPACITY, CAPACITY, 1]);
  t.same(
    log.filter((line) => line.includes('receive')),
    [4, 4, 1].flatMap((count) => [`overlay.receive ${count}`, `underlay.receive ${count}`]),
  );
});

t.test('ForwardingLoop polls both ports in every round, also an idle one', async (t) => {
  const { log, run } = rig(t);
  run([1, 1], [CAPACITY, CAPACITY, 1]);
  t.same(
    log.filter((line) => line.includes('receive')),
    [1, 4, 1, 4, 0, 1].map((count, index) => `${index % 2 === 0 ? 'overlay' : 'underlay'}.receive ${count}`),
  );
});

t.test('ForwardingLoop neither encapsulates nor sends after an empty receive', async (t) => {
  const { log, run } = rig(t);
  run([0], [0]);
  t.same(log, ['overlay.receive 0', 'underlay.receive 0']);
});

t.test('ForwardingLoop answers the doorbell between two rounds under load', async (t) => {
  const { doorbell, log, run } = rig(t);
  const ring = (): number => {
    doorbell.ring();
    return CAPACITY;
  };
  run([CAPACITY, ring, 1], [CAPACITY, CAPACITY, 1]);
  t.same(
    log.filter((line) => /receive|ring/.test(line)),
    [
      'overlay.receive 4',
      'underlay.receive 4',
      'overlay.receive 4',
      'underlay.receive 4',
      'ring',
      'overlay.receive 1',
      'underlay.receive 1',
    ],
  );
});

t.test('ForwardingLoop receives nothing after a stop', async (t) => {
  const { doorbell, log, run } = rig(t);
  doorbell.stop();
  t.equal(run([1], [1]), undefined);
  t.same(log, []);
});

t.test('ForwardingLoop returns the errno of a failed device', async (t) => {
  t.same(rig(t).run([CAPACITY, -77], [0]), { port: 'overlay', errno: 77 });
  t.same(rig(t).run([0, -77], [0]), { port: 'overlay', errno: 77 }, 'also after an empty round');
});

t.test('ForwardingLoop stops between two rounds although both ports have more packets', async (t) => {
  const { doorbell, log, run } = rig(t);
  const stop = (): number => {
    doorbell.stop();
    return CAPACITY;
  };
  const busy = Array.from({ length: 10 }, () => CAPACITY);
  t.equal(run([CAPACITY, stop, ...busy], [CAPACITY, CAPACITY, ...busy]), undefined);
  t.same(
    log.filter((line) => line.includes('receive')),
    [1, 2].flatMap(() => [`overlay.receive ${CAPACITY}`, `underlay.receive ${CAPACITY}`]),
  );
});

t.test('ForwardingLoop.measureRound forwards packets that arrive meanwhile', async (t) => {
  const { log, measure } = rig(t);
  t.ok(measure(2, [1], [3]) > 0);
  t.same(log, [
    ...['overlay.receive 1', 'encapsulate 1', 'underlay.send 1'],
    ...['underlay.receive 3', 'decapsulate 3', 'overlay.send 3'],
    ...['overlay.receive 0', 'underlay.receive 0'],
  ]);
});

t.test('ForwardingLoop returns the errno of a failed socket', async (t) => {
  t.same(rig(t).run([0], [-9]), { port: 'underlay', errno: 9 });
});
