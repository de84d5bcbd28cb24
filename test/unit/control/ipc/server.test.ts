import { EventEmitter, once } from 'node:events';
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection, Server, type Socket } from 'node:net';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { until } from '../../../../lab/until.js';
import { ask, NotRunning } from '../../../../src/control/ipc/client.js';
import { type ControlRequest, socketPath } from '../../../../src/control/ipc/protocol.js';
import { refuseRunning } from '../../../../src/control/ipc/running.js';
import { ControlServer, type Handler } from '../../../../src/control/ipc/server.js';
import { UserError } from '../../../../src/control/support/user-error.js';
import { catchLog } from '../../../support/catch-log.js';
import { fakeProc, WEFT } from '../../../support/fake-proc.js';
import { mentions, refusal } from '../../../support/user-error.js';

/** Returns a relative run directory: the path of a Unix socket may have only 107 characters. */
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

t.test('ControlServer answers a request with the result of its handler', async (t) => {
  const seen: ControlRequest[] = [];
  const dir = await listen(t, async (request) => {
    seen.push(request);
    return { text: 'grüße', list: [1, 2] };
  });
  t.same(await ask(dir, { command: 'status' }), { text: 'grüße', list: [1, 2] });
  t.same(seen, [{ command: 'status' }]);
});

t.test('ask receives a large answer completely', async (t) => {
  const big = Array.from({ length: 100_000 }, (_, index) => index);
  const dir = await listen(t, async () => big);
  t.same(await ask(dir, { command: 'status' }), big);
});

t.test('ControlServer answers a thousand concurrent requests with two runs of its handler', async (t) => {
  let runs = 0;
  let release = (): void => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const dir = await listen(t, async ({ command }) => {
    if (command === 'leave') return release();
    await released;
    return ++runs;
  });
  const asking = Array.from({ length: 1000 }, () => ask(dir, { command: 'status' }));
  await ask(dir, { command: 'leave' });
  t.same(await Promise.all(asking), [1, ...new Array(999).fill(2)]);
});

t.test(
  'ControlServer leaves the socket of a successor that listens while it waits for answers',
  async (t) => {
    const dir = runDir(t);
    const asked = new EventEmitter();
    const old = await ControlServer.listen(dir, () => {
      asked.emit('request');
      return new Promise(() => {});
    });
    const request = once(asked, 'request');
    const refused = t.rejects(ask(dir, { command: 'status' }), /exited before it answered/);
    await request;
    const closed = old.close();
    await listen(t, async () => 'successor', dir);
    await closed;
    t.equal(await ask(dir, { command: 'status' }), 'successor');
    await refused;
  },
);

t.test(
  'ControlServer answers beside a thousand clients that send half a request or read nothing',
  async (t) => {
    const dir = await listen(t, async ({ command }) => `${command}${'x'.repeat(1_000_000)}`);
    const open = new Set<Socket>();
    const connect = async (index: number): Promise<void> => {
      const readsNothing = index % 2 === 0;
      const socket = createConnection({ path: socketPath(dir), allowHalfOpen: readsNothing });
      socket.on('error', () => {}).on('close', () => open.delete(socket));
      await once(socket, 'connect');
      open.add(socket);
      if (readsNothing) socket.end('{"command":"status"}');
      else socket.resume().write('{"command"');
    };
    for (let index = 0; index < 1000; index += 100)
      await Promise.all(Array.from({ length: 100 }, (_, more) => connect(index + more)));
    t.match(await ask(dir, { command: 'status' }), /^status/);
    // A socket that reads nothing does not see the end of its connection.
    await until('the server closed the half requests', () => open.size <= 500);
  },
);

t.test('ask rejects with the error of the handler', async (t) => {
  const dir = await listen(t, () => Promise.reject(new UserError('not now')));
  t.equal(await refusal(t, () => ask(dir, { command: 'status' })), 'not now');
});

t.test('ControlServer gives the socket mode 0600 regardless of the umask', async (t) => {
  const umask = process.umask(0);
  t.teardown(() => process.umask(umask));
  const dir = await listen(t, async () => null);
  t.equal(statSync(socketPath(dir)).mode & 0o777, 0o600);
  t.equal(process.umask(), 0, 'the umask is restored');
});

t.test('ControlServer creates the run directory and its parents', async (t) => {
  const dir = join(runDir(t), 'a', 'b');
  await listen(t, async () => null, dir);
  t.ok(existsSync(socketPath(dir)));
});

t.test('ControlServer replaces a stale socket', async (t) => {
  const dir = runDir(t);
  mkdirSync(dir);
  writeFileSync(socketPath(dir), '');
  await listen(t, async () => 'new', dir);
  t.equal(await ask(dir, { command: 'status' }), 'new');
});

t.test(
  'ControlServer.listen refuses a run directory that it cannot create, with flag and path',
  async (t) => {
    const dir = runDir(t);
    writeFileSync(dir, 'a file');
    mentions(t, await refusal(t, () => ControlServer.listen(dir, async () => null)), `--run-dir ${dir}: `);
  },
);

t.test('close removes the socket and closes connections', async (t) => {
  const dir = runDir(t);
  const requests = new EventEmitter();
  const server = await ControlServer.listen(dir, () => {
    requests.emit('request');
    return new Promise(() => {});
  });
  const idle = createConnection(socketPath(dir));
  const closed = once(idle, 'close');
  await once(idle, 'connect');
  const received = once(requests, 'request');
  const asking = refusal(t, () => ask(dir, { command: 'status' }));
  await received;
  await server.close();
  await closed;
  mentions(t, await asking, socketPath(dir));
  t.equal(existsSync(socketPath(dir)), false);
});

t.test('close sends a pending answer first', async (t) => {
  const dir = runDir(t);
  const requests = new EventEmitter();
  const big = 'x'.repeat(1_000_000);
  const server = await ControlServer.listen(
    dir,
    () => new Promise((resolve) => requests.emit('request', resolve)),
  );
  const received = once(requests, 'request');
  const asking = ask(dir, { command: 'leave' });
  const [answer] = (await received) as [(result: unknown) => void];
  const closing = server.close();
  answer(big);
  t.equal(await asking, big);
  await closing;
});

t.test('ControlServer answers an invalid request with an error and continues', async (t) => {
  const dir = await listen(t, async ({ command }) => command);
  for (const text of ['', 'x', '{"command":']) {
    t.match(await raw(dir, text), /^\{"ok":false,"error":".*"\}\n$/, JSON.stringify(text));
  }
  t.equal(await ask(dir, { command: 'status' }), 'status');
});

t.test('ControlServer closes a connection that sends too much', async (t) => {
  const dir = await listen(t, async () => null);
  t.equal(await raw(dir, 'x'.repeat(100_000)), '');
});

/** Sends this text and returns everything that the server sends. */
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

t.test('ask rejects with NotRunning if nothing listens', async (t) => {
  const dir = runDir(t);
  const error = await ask(dir, { command: 'status' }).catch((reason: unknown) => reason);
  t.ok(error instanceof NotRunning, 'no directory');
  writeFileSync(dir, '');
  const file = await ask(dir, { command: 'status' }).catch((reason: unknown) => reason);
  t.ok(file instanceof NotRunning, 'a file');
  rmSync(dir);
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

t.test('refuseRunning refuses a second process with the pid of the first', async (t) => {
  const dir = await listen(t, async () => ({ pid: 4711 }));
  mentions(t, await refusal(t, () => refuseRunning(dir)), `pid 4711, run directory ${dir}`);
});

t.test('refuseRunning refuses a directory whose Weft answers with an error', async (t) => {
  const dir = await listen(t, () => Promise.reject(new UserError('Weft is starting; try again')));
  mentions(t, await refusal(t, () => refuseRunning(dir)), `Weft already runs here (run directory ${dir})`);
});

t.test('ControlServer.listen leaves the socket of another Weft process alone', async (t) => {
  const dir = await listen(t, async () => ({ pid: 4711 }));
  mentions(t, await refusal(t, () => ControlServer.listen(dir, async () => null)), 'pid 4711');
  t.same(await ask(dir, { command: 'status' }), { pid: 4711 });
});

t.test('restore listens again after the socket or its directory was removed', async (t) => {
  const dir = runDir(t);
  const server = await ControlServer.listen(dir, async () => 'here');
  t.teardown(() => server.close());
  t.equal(server.isIntact(), true);
  for (const path of [socketPath(dir), dir]) {
    rmSync(path, { recursive: true });
    t.equal(server.isIntact(), false);
    await server.restore();
    t.equal(server.isIntact(), true);
    t.equal(await ask(dir, { command: 'status' }), 'here');
  }
});

t.test('restore does not take the socket of another Weft process', async (t) => {
  const dir = runDir(t);
  const server = await ControlServer.listen(dir, async () => 'first');
  t.teardown(() => server.close());
  rmSync(dir, { recursive: true });
  await listen(t, async () => ({ pid: 4711 }), dir);
  mentions(t, await refusal(t, () => server.restore()), 'pid 4711');
  t.same(await ask(dir, { command: 'status' }), { pid: 4711 });
});

t.test('refuseRunning refuses a Weft process whose run directory is deleted, and no other one', async (t) => {
  const dir = resolve(runDir(t));
  const command = [...WEFT, `--run-dir=${dir}`];
  const proc = fakeProc(t, { 4711: { command, device: 'flannel.1' } });
  mentions(t, await refusal(t, () => refuseRunning(dir, proc)), `pid 4711, run directory ${dir}`);
  await t.resolves(refuseRunning(`${dir}2`, proc));
});

t.test('ControlServer survives errors of accept, also after restore', async (t) => {
  const log = catchLog(t);
  const dir = runDir(t);
  const servers: Server[] = [];
  const original = Server.prototype.listen;
  const spy = t.capture(
    Server.prototype,
    'listen',
    function (this: Server, ...args: Parameters<Server['listen']>) {
      servers.push(this);
      return original.apply(this, args);
    },
  );
  const control = await ControlServer.listen(dir, async () => 'here');
  t.teardown(() => control.close());
  rmSync(dir, { recursive: true });
  await control.restore();
  t.equal(spy().length, 2);
  for (const server of servers) {
    server.emit('error', new Error('accept EMFILE'));
    server.emit('error', new Error('accept EMFILE'));
  }
  t.same(log, new Array(4).fill(`W ${socketPath(dir)}: accept EMFILE`));
  t.equal(await ask(dir, { command: 'status' }), 'here');
});

t.test('refuseRunning accepts an unused run directory', async (t) => {
  await t.resolves(refuseRunning(runDir(t)));
});
