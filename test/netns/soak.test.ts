/** A minute of the soak test, `npm run soak`: a longer run shows slower growth. */

import t from 'tap';
import { soak } from '../../bench/soak/soak.js';
import { makeBed } from './support/bed.js';

/** MiB. The warm-up takes longer than a minute. A leak of a tenth of the load's packets would exceed the peak. */
const LIMITS = { peak: 80, growth: 50 };

t.test(
  'Weft under a mixed load keeps its memory and descriptors, and loses no packet that it does not count',
  async (t) => {
    const lab = await makeBed(t, { name: 'soak' });
    const { broken, counts, pings, peaks } = await soak(lab, { minutes: 1, limits: LIMITS });
    t.comment(JSON.stringify({ counts, pings, peaks }));
    t.strictSame(broken, []);
    t.ok(counts.flaps >= 2 && counts.statuses > 10 && counts.leaseSets > 25, 'the load was complete');
  },
);
