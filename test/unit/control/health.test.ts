import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { listenHealth } from '../../../src/control/health.js';
import { catchLog } from '../../support/catch-log.js';
import { mentions, refusal } from '../../support/user-error.js';

/** Returns a free TCP port of an address. */
async function freeTcpPort(address: string): Promise<number> {
  const server = createServer().listen(0, address);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

interface Bed {
  address: string;
  port: number;
  log: string[];
  /** The reason that /readyz returns; null when ready. */
  notReady: string | null;
  close(): Promise<void>;
}

async function listen(t: Test, address = '127.0.0.1'): Promise<Bed> {
  const log = catchLog(t);
  const port = await freeTcpPort(address);
  const bed: Bed = { address, port, log, notReady: 'flanneld is not ready yet', close: async () => {} };
  const server = await listenHealth({ address, port }, () => bed.notReady);
  bed.close = () => server.close();
  t.teardown(bed.close);
  return bed;
}

interface Answer {
  status: number | undefined;
  allow: string | undefined;
  body: string;
}

function answer(status: number, body: string, allow?: string): Answer {
  return { status, allow, body };
}

async function ask({ address, port }: Bed, path: string, method = 'GET'): Promise<Answer> {
  const asked = request({ host: address, port, path, method, agent: false }).end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const { statusCode: status, headers } = response;
  return { status, allow: headers.allow, body: Buffer.concat(chunks).toString() };
}

/** Opens a connection that sends this text and then nothing. */
async function connected(t: Test, { address, port }: Bed, text = ''): Promise<Socket> {
  const socket = connect(port, address);
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  if (text !== '') socket.write(text);
  return socket;
}

t.test(
  '/healthz returns 200 from the start, /readyz returns 503 and the reason until the node is ready',
  async (t) => {
    const bed = await listen(t);
    t.same(await ask(bed, '/healthz'), answer(200, 'flanneld is running'));
    t.same(await ask(bed, '/readyz'), answer(503, 'flanneld is not ready yet'));
    bed.notReady = null;
    t.same(await ask(bed, '/readyz?verbose'), answer(200, 'flanneld is ready'));
    bed.notReady = 'etcd cannot be reached: größer\n';
    t.same(await ask(bed, '/readyz'), answer(503, 'etcd cannot be reached: größer\n'));
  },
);

t.test('the health server answers HEAD without a body and refuses other methods and paths', async (t) => {
  const bed = await listen(t);
  t.same(await ask(bed, '/healthz', 'HEAD'), answer(200, ''));
  t.same(await ask(bed, '/readyz', 'HEAD'), answer(503, ''));
  t.same(await ask(bed, '/healthz', 'POST'), answer(405, 'only GET and HEAD', 'GET, HEAD'));
  for (const path of ['/', '/healthz/', '/metrics']) t.equal((await ask(bed, path)).status, 404, path);
});

t.test('listenHealth logs its address', async (t) => {
  const { log, port } = await listen(t);
  t.same(log, [`I Start healthz server on 127.0.0.1:${port}`]);
});

t.test('listenHealth listens on an IPv6 address', async (t) => {
  const bed = await listen(t, '::1');
  t.equal((await ask(bed, '/healthz')).status, 200);
  t.same(bed.log, [`I Start healthz server on [::1]:${bed.port}`]);
});

t.test('listenHealth refuses an address it cannot listen on, with the reason and the remedy', async (t) => {
  const { port, log } = await listen(t);
  log.length = 0;
  for (const [options, ...parts] of [
    [
      { address: '127.0.0.1', port },
      `127.0.0.1:${port}: bind: address already in use;`,
      `ss -ltnp "sport = :${port}"`,
    ],
    [
      { address: '192.0.2.1', port },
      `192.0.2.1:${port}: bind: cannot assign requested address;`,
      '--healthz-ip',
    ],
    [
      { address: '127.0.0.1', port: 65536 },
      '127.0.0.1:65536: invalid port;',
      '--healthz-port must be from 1 to 65535',
    ],
  ] as const) {
    const message = await refusal(t, () => listenHealth(options, () => null));
    mentions(t, message, 'Start healthz server error. listen tcp ', ...parts);
  }
  t.same(log, []);
});

t.test('close ends a kept-alive connection', async (t) => {
  const bed = await listen(t);
  const socket = await connected(t, bed, 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
  const [received] = (await once(socket, 'data')) as [Buffer];
  t.match(String(received), /^HTTP\/1\.1 200 OK\r\n/);
  const gone = once(socket, 'close');
  await bed.close();
  await gone;
});

t.test(
  'the health server closes connections without a complete request and answers others meanwhile',
  async (t) => {
    const bed = await listen(t);
    const slow = [
      await connected(t, bed),
      await connected(t, bed, 'GET /healthz HTTP/1.1\r\nHost:'),
      await connected(t, bed, 'POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx'),
    ];
    const gone = slow.map((socket) => once(socket.resume(), 'close'));
    t.equal((await ask(bed, '/healthz')).status, 200);
    await Promise.all(gone);
  },
);

t.test(
  'the health server closes the oldest connections beyond its limit, and answers a new one',
  async (t) => {
    const bed = await listen(t);
    const held = [];
    for (let count = 0; count < 129; count++) held.push(await connected(t, bed));
    const closed = held.map((socket, index) => once(socket.resume(), 'close').then(() => index));
    t.equal(await Promise.race(closed), 0, 'the first connection is closed first');
    t.equal((await ask(bed, '/healthz')).status, 200);
  },
);

t.test('/metrics returns the page as Prometheus text, and 404 without one', async (t) => {
  t.same((await ask(await listen(t), '/metrics')).status, 404);
  catchLog(t);
  const address = '127.0.0.1';
  const port = await freeTcpPort(address);
  let page = async (): Promise<Buffer> => Buffer.from('weft_ready 1\n');
  const server = await listenHealth(
    { address, port },
    () => null,
    () => page(),
  );
  t.teardown(() => server.close());
  const response = await fetch(`http://${address}:${port}/metrics`);
  t.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  t.equal(await response.text(), 'weft_ready 1\n');
  t.equal((await fetch(`http://${address}:${port}/metrics`, { method: 'POST' })).status, 405);
  page = async () => {
    throw new Error('out of memory');
  };
  const failed = await fetch(`http://${address}:${port}/metrics`);
  t.same([failed.status, await failed.text()], [500, 'out of memory']);
});
