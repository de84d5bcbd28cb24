import t from 'tap';
import { ipBatch, ipJson, ipRun } from '../../../../src/control/kernel/ip.js';
import { FakeIp } from '../../../support/fake-ip.js';
import { mentions, refusal } from '../../../support/user-error.js';

t.test('ipBatch runs all commands in one process, and starts no process without commands', async (t) => {
  const ip = FakeIp.install(t);
  t.same(await ipBatch([]), []);
  t.equal(ip.starts, 0);
  t.same(await ipBatch(['link set dev a up', 'link set dev b up']), []);
  t.same(ip.taken(), ['link set dev a up', 'link set dev b up']);
  t.equal(ip.starts, 1);
});

t.test('ipBatch returns index and reason of each failed command, and runs the others', async (t) => {
  const ip = FakeIp.install(t);
  ip.fail('b', 'File exists');
  ip.fail('d', 'No such process');
  t.same(await ipBatch(['a', 'b', 'c', 'd']), [
    { index: 1, reason: 'RTNETLINK answers: File exists' },
    { index: 3, reason: 'RTNETLINK answers: No such process' },
  ]);
  t.same(ip.taken(), ['a', 'b', 'c', 'd']);
});

t.test('ipBatch splits a long batch, and counts the index of a failure from its begin', async (t) => {
  const ip = FakeIp.install(t);
  const commands = Array.from({ length: 2500 }, (_, index) => `c${index}`);
  ip.fail('c2001', 'File exists');
  t.same(await ipBatch(commands), [{ index: 2001, reason: 'RTNETLINK answers: File exists' }]);
  t.same(ip.taken(), commands);
  t.equal(ip.starts, 3);
});

t.test(
  'ipBatch runs the halves of a chunk that reaches the time limit, and returns those that do again',
  async (t) => {
    const ip = FakeIp.install(t);
    ip.hang('c200');
    const commands = Array.from({ length: 250 }, (_, index) => `c${index}`);
    const failures = await ipBatch(commands, undefined, 1000);
    t.same(
      failures,
      commands.slice(188, 250).map((_, index) => ({ index: 188 + index, reason: 'did not end within 1 s' })),
    );
    t.same([...new Set(ip.taken())], commands.slice(0, 200), 'the others ran');
  },
);

t.test('ipRun throws an error with the failed command and the reason', async (t) => {
  const ip = FakeIp.install(t);
  ip.fail('link set dev a up', 'Operation not permitted');
  t.equal(
    await refusal(t, () => ipRun(['link set dev b up', 'link set dev a up'])),
    'ip link set dev a up: RTNETLINK answers: Operation not permitted',
  );
  await t.resolves(ipRun(['link set dev b up']));
});

t.test('ipBatch kills ip when the signal is aborted', async (t) => {
  const ip = FakeIp.install(t);
  ip.hang('link');
  const abort = new AbortController();
  const batch = ipBatch(['link set dev a up'], abort.signal);
  setTimeout(() => abort.abort(), 50);
  await t.rejects(batch, { name: 'AbortError' });
  await t.rejects(
    ipBatch(['link set dev a up'], abort.signal),
    { name: 'AbortError' },
    'no process is started',
  );
});

t.test('ipJson parses the output of ip, and returns an empty list for no output', async (t) => {
  const ip = FakeIp.install(t);
  ip.answer('link show', [{ ifname: 'lo' }]);
  ip.answer('route show', '');
  t.same(await ipJson('link show'), [{ ifname: 'lo' }]);
  t.same(await ipJson('route show'), []);
});

t.test('ipJson refuses an ip that prints no JSON', async (t) => {
  FakeIp.install(t).answer('link show', '1: lo: <LOOPBACK>');
  mentions(t, await refusal(t, () => ipJson('link show')), 'ip -json link show', 'install iproute2');
});

t.test('ipJson names the package when ip is not in PATH', async (t) => {
  const { PATH } = process.env;
  t.teardown(() => {
    process.env.PATH = PATH;
  });
  process.env.PATH = t.testdir({});
  mentions(
    t,
    await refusal(t, () => ipJson('link show')),
    'ip: command not found',
    'apt-get install iproute2',
  );
  mentions(
    t,
    await refusal(t, () => ipBatch(['link show'])),
    'ip: command not found',
    'apt-get install iproute2',
  );
});
