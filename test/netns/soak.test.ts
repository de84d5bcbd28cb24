/** Two minutes of the soak test, `npm run soak`: a longer run shows slower growth. */

import t from 'tap';
import { soak } from '../../bench/soak/soak.js';
import { makeBed } from './support/bed.js';

/** MiB. The warm-up, which takes longer than two minutes, grows by up to 3 MiB in them; a leak of 10 MiB per minute by 20. */
const LIMITS = { peak: 80, growth: 50 };

t.test(
  'Weft under a mixed load keeps its memory and descriptors, and loses no packet that it does not count',
  async (t) => {
    const lab = await makeBed(t, { name: 'soak' });
    const { broken, counts, pings, peaks } = await soak(lab, { minutes: 2, limits: LIMITS });
    t.comment(JSON.stringify({ counts, pings, peaks }));
    t.strictSame(broken, []);
    t.ok(counts.flaps >= 4 && counts.statuses > 20 && counts.leaseSets > 50, 'the load was complete');
  },
);
