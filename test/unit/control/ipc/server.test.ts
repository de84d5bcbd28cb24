import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, NotRunning } from '../../../../src/control/ipc/client.js';
import { type ControlRequest, socketPath } from '../../../../src/control/ipc/protocol.js';
import { ControlServer, type Handler, refuseRunning } from '../../../../src/control/ipc/server.js';
import { UserError } from '../../../../src/control/support/user-error.js';
import { mentions, refusal } from '../../../support/user-error.js';

/** A path for a unix socket may have 107 characters; the directory of the tests may not leave that many. */
function runDir(t: Test): string {
  const dir = t.testdir({});
  t.chdir(dir);
  return 'run';
}

async function listen(t: Test, handler: Handler, dir = runDir(t)): Promise<string> {
  const server = await ControlServer.listen(dir, handler);
  t.teardown(() => server.close());
  return dir;
}

t.test('a request is answered with what the handler returns', async (t) => {
  const seen: ControlRequest[] = [];
  const dir = await listen(t, async (request) => {
    seen.push(request);
    return { text: 'grüße', list: [1, 2] };
  });
  t.same(await ask(dir, { command: 'status' }), { text: 'grüße', list: [1, 2] });
  t.same(seen, [{ command: 'status' }]);
});

t.test('an answer of any size comes whole', async (t) => {
  const big = Array.from({ length: 100_000 }, (_, index) => index);
  const dir = await listen(t, async () => big);
  t.same(await ask(dir, { command: 'status' }), big);
});

t.test('several are answered at once', async (t) => {
  const dir = await listen(t, async ({ command }) => command);
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(dir, { command: 'status' })));
  t.same(answers, new Array(20).fill('status'));
});

t.test('an error of the handler is the error of the one who asked', async (t) => {
  const dir = await listen(t, () => Promise.reject(new UserError('not now')));
  t.equal(await refusal(t, () => ask(dir, { command: 'status' })), 'not now');
});

t.test('the socket is for its owner alone, whatever the umask', async (t) => {
  const umask = process.umask(0);
  t.teardown(() => process.umask(umask));
  const dir = await listen(t, async () => null);
  t.equal(statSync(socketPath(dir)).mode & 0o777, 0o600);
  t.equal(process.umask(), 0, 'which is as it was');
});

t.test('the run directory is made, with those above it', async (t) => {
  const dir = join(runDir(t), 'a', 'b');
  await listen(t, async () => null, dir);
  t.ok(existsSync(socketPath(dir)));
});

t.test('a socket that a killed weft left behind is taken over', async (t) => {
  const dir = runDir(t);
  mkdirSync(dir);
  writeFileSync(socketPath(dir), '');
  await listen(t, async () => 'new', dir);
  t.equal(await ask(dir, { command: 'status' }), 'new');
});

t.test('a run directory that cannot be made is refused with the flag and the path', async (t) => {
  const dir = runDir(t);
  writeFileSync(dir, 'a file');
  mentions(t, await refusal(t, () => ControlServer.listen(dir, async () => null)), `--run-dir ${dir}: `);
});

t.test('close takes the socket away and drops who is connected', async (t) => {
  const dir = runDir(t);
  const server = await ControlServer.listen(dir, () => new Promise(() => {}));
  const idle = createConnection(socketPath(dir));
  const closed = new Promise((resolve) => idle.once('close', resolve));
  await new Promise((resolve) => idle.once('connect', resolve));
  const asking = refusal(t, () => ask(dir, { command: 'status' }));
  await new Promise((resolve) => setTimeout(resolve, 50));
  await server.close();
  await closed;
  mentions(t, await asking, socketPath(dir));
  t.equal(existsSync(socketPath(dir)), false);
});

t.test('close lets an answer under way go out first', async (t) => {
  const dir = runDir(t);
  let answer = (_: unknown): void => {};
  const big = 'x'.repeat(1_000_000);
  const server = await ControlServer.listen(
    dir,
    () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
  );
  const asking = ask(dir, { command: 'leave' });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const closing = server.close();
  answer(big);
  t.equal(await asking, big);
  await closing;
});

t.test('what is no request is answered with an error and does no harm', async (t) => {
  const dir = await listen(t, async ({ command }) => command);
  for (const text of ['', 'x', '{"command":']) {
    t.match(await raw(dir, text), /^\{"ok":false,"error":".*"\}\n$/, JSON.stringify(text));
  }
  t.equal(await ask(dir, { command: 'status' }), 'status');
});

t.test('whoever sends more than a request is cut off', async (t) => {
  const dir = await listen(t, async () => null);
  t.equal(await raw(dir, 'x'.repeat(100_000)), '');
});

/** Sends text as it is and returns all that comes back. */
function raw(dir: string, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection({ path: socketPath(dir), allowHalfOpen: true });
    let answer = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      answer += chunk;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer));
    socket.on('end', () => socket.end());
    socket.end(text);
  });
}

t.test('where nobody listens, that is the answer', async (t) => {
  const dir = runDir(t);
  const error = await ask(dir, { command: 'status' }).catch((reason: unknown) => reason);
  t.ok(error instanceof NotRunning, 'no directory');
  mkdirSync(dir);
  const again = await ask(dir, { command: 'status' }).catch((reason: unknown) => reason);
  t.ok(again instanceof NotRunning, 'no socket');
  mentions(
    t,
    await refusal(t, () => ask(dir, { command: 'status' })),
    `--run-dir ${dir}`,
    'start it with weft run',
  );
});

t.test('a second weft on one run directory is refused with the pid of the first', async (t) => {
  const dir = await listen(t, async () => ({ pid: 4711 }));
  mentions(t, await refusal(t, () => refuseRunning(dir)), `--run-dir ${dir}`, 'pid 4711');
});

t.test('a run directory without a weft is free', async (t) => {
  await t.resolves(refuseRunning(runDir(t)));
});
