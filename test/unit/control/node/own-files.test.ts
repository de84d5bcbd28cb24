import { mock } from 'node:test';
import t, { type Test } from 'tap';
import { type OwnFile, OwnFiles } from '../../../../src/control/node/own-files.js';
import { catchLog } from '../../../support/catch-log.js';

class FakeFile implements OwnFile {
  readonly path: string;
  intact = true;
  /** Why it cannot be restored. */
  refusal: string | undefined;

  constructor(path: string) {
    this.path = path;
  }

  isIntact(): boolean {
    return this.intact;
  }

  async restore(): Promise<void> {
    if (this.refusal !== undefined) throw new Error(this.refusal);
    this.intact = true;
  }
}

function ownFiles(t: Test): OwnFiles {
  const files = new OwnFiles();
  t.teardown(() => files.close());
  return files;
}

t.test('OwnFiles restores what is not intact and counts it by kind, a whole directory once', async (t) => {
  const log = catchLog(t);
  const files = ownFiles(t);
  const [socket, state, subnet] = ['sock', 'state', 'env'].map((path) => new FakeFile(path));
  files.keep('runDir', socket);
  files.keep('runDir', state);
  files.keep('subnetFile', subnet);
  await files.check();
  t.same(files.repairs, {});
  socket.intact = state.intact = false;
  await files.check();
  t.same(files.repairs, { runDir: 1 });
  subnet.intact = false;
  await files.check();
  t.same(files.repairs, { runDir: 1, subnetFile: 1 });
  t.same(
    log,
    ['sock', 'state', 'env'].map((path) => `W ${path}: another program removed or changed it; restored`),
  );
});

t.test('OwnFiles logs a failure once, and restores the other files', async (t) => {
  const log = catchLog(t);
  const files = ownFiles(t);
  const [first, second] = [new FakeFile('first'), new FakeFile('second')];
  files.keep('subnetFile', first);
  files.keep('runDir', second);
  first.intact = second.intact = false;
  first.refusal = 'ENOSPC: no space left on device';
  await files.check();
  await files.check();
  t.same(files.repairs, { runDir: 1 });
  t.match(log, [/^W first: .* cannot be restored: ENOSPC: no space left on device; retrying/, /^W second: /]);
  t.equal(log.length, 2);
  first.refusal = undefined;
  await files.check();
  t.same(files.repairs, { runDir: 1, subnetFile: 1 });
});

t.test(
  'OwnFiles logs restorations of a file once a minute, and names a program that keeps changing it',
  async (t) => {
    let now = 5000;
    const clock = mock.method(performance, 'now', () => now);
    t.teardown(() => clock.mock.restore());
    const log = catchLog(t);
    const files = ownFiles(t);
    const [contested, quiet] = [new FakeFile('contested'), new FakeFile('quiet')];
    files.keep('subnetFile', contested);
    files.keep('runDir', quiet);
    const lose = async (...lost: FakeFile[]): Promise<void> => {
      for (const file of lost) file.intact = false;
      await files.check();
      now += 1000;
    };
    for (let second = 0; second < 70; second++) await lose(contested);
    t.match(log, [
      /^W contested: another program removed or changed it; restored$/,
      /^W contested: another program keeps changing it/,
      /^W contested: another program keeps changing it/,
    ]);
    t.equal(log.length, 3);
    t.same(files.repairs, { subnetFile: 70 }, 'all are counted');
    log.length = 0;
    for (let i = 0; i < 5; i++) {
      await lose(quiet);
      await lose();
    }
    t.same(
      log,
      ['W quiet: another program removed or changed it; restored'],
      'it is not named after a pause',
    );
    now += 60_000;
    await lose(quiet);
    t.equal(log.length, 2);
  },
);
