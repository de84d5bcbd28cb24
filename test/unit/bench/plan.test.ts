import t from 'tap';
import type { Figure } from '../../../bench/netns/figure.js';
import type { Peer } from '../../../bench/netns/peers.js';
import { Clock, duration, planOf } from '../../../bench/netns/plan.js';

function figure(name: string, more: Partial<Figure> = {}): Figure {
  return { name, metrics: [], measure: () => Promise.resolve({}), ...more };
}

function peer(kind: Peer['kind']): Peer {
  return { name: kind, kind, flags: [], start: () => Promise.reject(new Error('not started here')) };
}

const FIGURES = [figure('tcp1'), figure('memory', { without: ['kernel'], runs: 2 })];
const PEERS = [peer('kernel'), peer('weft')];

t.test('planOf begins each round with another peer, and leaves out peers without the figure', async (t) => {
  const plan = planOf({ modes: ['plain'], rounds: 2, figures: FIGURES }, PEERS);
  t.same(
    plan.map((one) => `${one.round} ${one.figure.name} ${one.peer.name}`),
    ['1 tcp1 kernel', '1 tcp1 weft', '1 memory weft', '2 tcp1 weft', '2 tcp1 kernel', '2 memory weft'],
  );
});

t.test('Clock guesses by the traffic runs, then by the mean of the measurements of a figure', async (t) => {
  const plan = planOf({ modes: ['plain'], rounds: 2, figures: FIGURES }, PEERS);
  const clock = new Clock(5);
  t.equal(clock.left(plan), 4 * 7.5 + 2 * 12.5);
  const [first, second] = plan;
  if (first === undefined || second === undefined) throw new Error('the plan is empty');
  clock.add(first, 6);
  clock.add(second, 8);
  t.equal(clock.left(plan.slice(2)), 2 * 7 + 2 * 12.5);
  t.equal(clock.left([]), 0);
});

t.test('duration is in the unit that a person would use', async (t) => {
  t.same([0.2, 50, 119, 4200, 7170].map(duration), ['1 s', '50 s', '2 min', '1 h 10 min', '2 h 0 min']);
});
