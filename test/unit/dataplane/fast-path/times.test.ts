import t from 'tap';
import { FastTimes } from '../../../../src/dataplane/fast-path/times.js';

function counts(txPackets: number, rxPackets: number, address = 7) {
  return new Map([[address, { txPackets, txBytes: 0, rxPackets, rxBytes: 0 }]]);
}

t.test('FastTimes takes a count that rose for a packet at this time', async (t) => {
  const times = new FastTimes();
  t.same(times.note(counts(0, 0), 100), [], 'a peer without packets is not listed');
  t.match(times.note(counts(1, 0), 200), [
    { address: 7, sentAt: 200, sendingSince: 200, heardAt: undefined },
  ]);
  t.match(times.note(counts(2, 1), 300), [{ sentAt: 300, sendingSince: 200, heardAt: 300 }]);
  t.match(times.note(counts(2, 1), 400), [{ sentAt: 300, sendingSince: 200, heardAt: 300 }]);
  t.match(times.note(counts(3, 1), 100_000), [{ sentAt: 100_000, sendingSince: 100_000, heardAt: 300 }]);
});

t.test('FastTimes forgets a peer that is gone', async (t) => {
  const times = new FastTimes();
  times.note(counts(1, 1), 100);
  times.note(counts(1, 1, 8), 200);
  t.match(times.note(counts(1, 1), 300), [{ heardAt: 300 }]);
});
