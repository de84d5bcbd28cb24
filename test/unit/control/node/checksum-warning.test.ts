import t from 'tap';
import { ChecksumWarning } from '../../../../src/control/node/checksum-warning.js';
import { catchLog } from '../../../support/catch-log.js';

t.test(
  'ChecksumWarning warns when the count rises, once an hour, and after a restart of the count',
  async (t) => {
    const clock = { time: 0, now: () => clock.time };
    const warning = new ChecksumWarning(clock);
    const log = catchLog(t);
    for (const count of [0, 5, 5, 9]) warning.note('flannel.1', count);
    t.equal(log.length, 1);
    t.match(log[0], /flannel\.1: 5 datagrams arrived with a wrong UDP checksum \(rx_drop_checksum\); /);
    clock.time = 3_600_000;
    for (const count of [9, 2, 3]) warning.note('flannel.1', count);
    t.equal(log.length, 2);
    t.match(log[1], /flannel\.1: 1 datagrams/);
  },
);
