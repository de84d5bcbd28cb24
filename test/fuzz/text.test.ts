import t from 'tap';
import { silence } from '../../src/control/support/log.js';
import { isFuzzFailure } from './target.js';
import { LEASE_PARSERS } from './text/leases.js';
import { closeServer, SYSTEM_PARSERS } from './text/system.js';
import { textTarget } from './text/target.js';

const INPUTS = 640;
const FIXED_SEED = 1;
const NEW_SEED = Math.floor(Date.now() / 1000);

silence();
t.teardown(closeServer);

for (const target of [...LEASE_PARSERS, ...SYSTEM_PARSERS].map(textTarget)) {
  t.test(`${target.name}: a result that is stable, or an error of one line, seed ${NEW_SEED}`, async (t) => {
    for (const seed of [FIXED_SEED, NEW_SEED]) {
      try {
        t.equal(await target.run(seed, INPUTS / 2), INPUTS / 2);
      } catch (error) {
        if (!isFuzzFailure(error)) throw error;
        t.fail(`${error.message.slice(0, 400)}: npm run fuzz -- --target ${target.name} --seed ${seed}`);
      }
    }
  });
}
