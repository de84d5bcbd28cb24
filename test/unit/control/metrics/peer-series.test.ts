import t from 'tap';
import { OTHER, type PeerFigures, PeerSeries } from '../../../../src/control/metrics/peer-series.js';

/** Figures that all have the same value. */
function figures(value: number): PeerFigures {
  return { txPackets: value, txBytes: value, rxPackets: value, rxBytes: value };
}

/** Returns the rows of an update as `name value`; the peers are the keys, in their order. */
function update(series: PeerSeries, peers: Record<string, number>): string[] {
  const counts = new Map(Object.entries(peers).map(([peer, value]) => [peer, figures(value)]));
  return series.update(Object.keys(peers), counts).map(([peer, { rxBytes }]) => `${peer} ${rxBytes}`);
}

t.test('PeerSeries gives a row to each peer within the limit, also to one without packets', async (t) => {
  const series = new PeerSeries(2);
  const rows = series.update(['a', 'b'], new Map([['a', figures(5)]]));
  t.same(rows, [
    ['a', figures(5)],
    ['b', figures(0)],
  ]);
});

t.test('PeerSeries sums the peers beyond the limit', async (t) => {
  const series = new PeerSeries(1);
  t.same(update(series, { a: 5, b: 6, c: 7 }), ['a 5', `${OTHER} 13`]);
  t.same(update(series, { a: 5, b: 8, c: 7 }), ['a 5', `${OTHER} 15`]);
});

t.test('PeerSeries without places sums all peers', async (t) => {
  t.same(update(new PeerSeries(0), { a: 5, b: 6 }), [`${OTHER} 11`]);
});

t.test('PeerSeries leaves a peer its row, whatever the order of the leases', async (t) => {
  const series = new PeerSeries(1);
  update(series, { b: 1 });
  t.same(update(series, { a: 5, b: 6 }), ['b 6', `${OTHER} 5`]);
});

t.test('PeerSeries gives the row of a peer that is gone to another, and the sum does not fall', async (t) => {
  const series = new PeerSeries(1);
  t.same(update(series, { a: 5, b: 6, c: 1 }), ['a 5', `${OTHER} 7`]);
  t.same(update(series, { b: 8, c: 2 }), ['b 8', `${OTHER} 8`]);
  t.same(update(series, {}), [`${OTHER} 8`]);
});

t.test('PeerSeries adds what a peer counts after its counts began again', async (t) => {
  const series = new PeerSeries(0);
  update(series, { a: 10 });
  t.same(update(series, { a: 3 }), [`${OTHER} 13`]);
});
