import t, { type Test } from 'tap';
import { DRAINED, MORE, type Port } from '../../../../src/dataplane/io/port.js';
import type { PacketBatch } from '../../../../src/dataplane/memory/batch.js';
import { Doorbell } from '../../../../src/dataplane/worker/doorbell.js';
import { Idle } from '../../../../src/dataplane/worker/idle.js';
import { ForwardingLoop, type LoopFailure, type Path } from '../../../../src/dataplane/worker/loop.js';
import { Kit } from '../../../support/kit.js';

const CAPACITY = 4;

/** How many packets `receive` brings each time it is called, or an errno, or a function that tells. */
type Bursts = (number | (() => number))[];

/** Writes down what the loop does with it: `overlay.receive 4`, `overlay.send 4`. */
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
  /** Runs the loop; it is stopped when both ports have given out what they had. */
  run(overlay: Bursts, underlay: Bursts): LoopFailure | undefined;
}

/** The tunnel has so many replies to every burst in that direction. */
function rig(t: Test, { outReplies = 0, inReplies = 0 } = {}): Rig {
  const doorbell = new Doorbell(Doorbell.create());
  // Always readable: to wait is never to block.
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
  return {
    doorbell,
    log,
    run: (overlay, underlay) => {
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
      const idle = new Idle(arena, [readable.eventFd, doorbell.eventFd], 0, 0);
      return new ForwardingLoop(path, doorbell, idle).run(() => log.push('ring'));
    },
  };
}

t.test(
  'a burst from the device is encapsulated and sent out; one from the network goes the other way',
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

t.test('what the tunnel replies goes back to the side the burst came from, once', async (t) => {
  const { log, run } = rig(t, { outReplies: 2, inReplies: 1 });
  run([3, 0], [4, 0]);
  t.same(
    log.filter((line) => line.includes('send')),
    ['underlay.send 3', 'overlay.send 2', 'overlay.send 4', 'underlay.send 1'],
  );
});

t.test('two full sides take turns, a batch each', async (t) => {
  const { log, run } = rig(t);
  run([CAPACITY, CAPACITY, 1], [CAPACITY, CAPACITY, 1]);
  t.same(
    log.filter((line) => line.includes('receive')),
    [4, 4, 1].flatMap((count) => [`overlay.receive ${count}`, `underlay.receive ${count}`]),
  );
});

t.test('a round asks both sides, the quiet one too', async (t) => {
  const { log, run } = rig(t);
  run([1, 1], [CAPACITY, CAPACITY, 1]);
  t.same(
    log.filter((line) => line.includes('receive')),
    [1, 4, 1, 4, 0, 1].map((count, index) => `${index % 2 === 0 ? 'overlay' : 'underlay'}.receive ${count}`),
  );
});

t.test('nothing is handed on when nothing came', async (t) => {
  const { log, run } = rig(t);
  run([0], [0]);
  t.same(log, ['overlay.receive 0', 'underlay.receive 0']);
});

t.test('control is heard between two rounds, also under load', async (t) => {
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

t.test('a loop that is told to stop takes no more packets', async (t) => {
  const { doorbell, log, run } = rig(t);
  doorbell.stop();
  t.equal(run([1], [1]), undefined);
  t.same(log, []);
});

t.test('a device that is gone ends the loop', async (t) => {
  t.same(rig(t).run([CAPACITY, -77], [0]), { port: 'overlay', errno: 77 });
  t.same(rig(t).run([0, -77], [0]), { port: 'overlay', errno: 77 }, 'also when it had nothing before');
});

t.test('a socket that is gone ends the loop', async (t) => {
  t.same(rig(t).run([0], [-9]), { port: 'underlay', errno: 9 });
});
