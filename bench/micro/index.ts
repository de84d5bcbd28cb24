/** Micro benchmarks (`npm run bench:micro`): each compares implementations of one operation in one run. */

import { cpus } from 'node:os';
import * as checksum from './checksum.js';
import * as fdb from './fdb.js';
import * as header from './header.js';
import * as loop from './loop.js';
import * as rounds from './rounds.js';
import * as routes from './routes.js';

process.stdout.write(`${cpus()[0]?.model ?? 'unknown CPU'}, Node ${process.version}\n`);
header.run();
loop.run();
fdb.run();
routes.run();
rounds.run();
checksum.run();
