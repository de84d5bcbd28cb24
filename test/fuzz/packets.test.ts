import t from 'tap';
import { packetTargets, recordedCases, replayText } from './packets/targets.js';
import { isFuzzFailure } from './target.js';

const INPUTS = 15_000;
const FIXED_SEED = 1;
/** A new seed for each run: its share of the inputs is new. */
const NEW_SEED = Math.floor(Date.now() / 1000);

for (const { file, text } of recordedCases()) {
  t.test(`the dataplane does what the model expects with ${file}`, async (t) => {
    t.equal(replayText(text), undefined);
  });
}

for (const target of packetTargets()) {
  t.test(`${target.name} does what the model expects with ${INPUTS} inputs, seed ${NEW_SEED}`, async (t) => {
    let done = 0;
    for (const [seed, share] of [
      [FIXED_SEED, (2 * INPUTS) / 3],
      [NEW_SEED, INPUTS],
    ] as const) {
      try {
        while (done < share) done += await target.run(seed, share - done);
      } catch (error) {
        if (!isFuzzFailure(error)) throw error;
        t.fail(`${error.message.slice(0, 400)}: npm run fuzz -- --target ${target.name} --seed ${seed}`);
        return;
      }
    }
    t.ok(done >= INPUTS, `${done} inputs`);
  });
}
