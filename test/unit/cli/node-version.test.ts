import t from 'tap';
import { nodeProblem } from '../../../src/cli/node-version.js';

for (const version of ['18.19.0', '20.11.1']) {
  t.test(`nodeProblem refuses Node.js ${version} in one line with the required version`, async (t) => {
    t.equal(
      nodeProblem(version),
      `Node.js ${version} is too old: Weft needs Node.js 20.12 or newer; install it (https://nodejs.org/en/download)`,
    );
  });
}

for (const version of ['20.12.0', '22.0.0', '24.1.0']) {
  t.test(`nodeProblem accepts Node.js ${version}`, async (t) => {
    t.equal(nodeProblem(version), undefined);
  });
}
