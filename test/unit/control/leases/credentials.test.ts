import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Credentials } from '../../../../src/control/leases/credentials.js';
import { catchLog } from '../../../support/catch-log.js';

/** Returns credentials that are the text of a file; a text with `bad` is invalid. */
async function bed(t: Test) {
  const path = join(t.testdir({ token: 'first' }), 'token');
  let loads = 0;
  const credentials = await Credentials.open(async () => {
    loads++;
    const value = readFileSync(path, 'utf8');
    if (value.includes('bad')) throw new Error(`${path} is ${value}`);
    return { value, files: [path] };
  });
  return { path, credentials, loads: () => loads };
}

t.test('Credentials reads a file again only when it has changed or was refused', async (t) => {
  const b = await bed(t);
  t.equal(await b.credentials.current(), 'first');
  t.equal(b.loads(), 1);
  writeFileSync(b.path, 'second one');
  t.equal(await b.credentials.current(), 'second one');
  t.equal(await b.credentials.current(), 'second one');
  t.equal(b.loads(), 2);
  b.credentials.refuse();
  await b.credentials.current();
  await b.credentials.current();
  t.equal(b.loads(), 3);
});

t.test('Credentials keeps the last valid ones while a file is bad or missing, and tries again', async (t) => {
  const log = catchLog(t);
  const b = await bed(t);
  writeFileSync(b.path, 'bad');
  t.equal(await b.credentials.current(), 'first');
  t.equal(await b.credentials.current(), 'first');
  t.same(log, [`W ${b.path} is bad; the last valid credentials stay in use`]);
  t.equal(b.loads(), 3);
  rmSync(b.path);
  t.equal(await b.credentials.current(), 'first');
  writeFileSync(b.path, 'second');
  t.equal(await b.credentials.current(), 'second');
});

t.test('pause ends when refused credentials change, and when its signal is aborted', async (t) => {
  const b = await bed(t);
  const { signal } = new AbortController();
  b.credentials.refuse();
  const pause = b.credentials.pause(600_000, signal);
  writeFileSync(b.path, 'another one');
  await pause;
  t.equal(await b.credentials.current(), 'another one');
  await b.credentials.pause(600_000, AbortSignal.abort());
});
