import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const WEFT = fileURLToPath(new URL('../../../src/cli/weft.js', import.meta.url));
const PACKAGE = fileURLToPath(new URL('../../../../package.json', import.meta.url));

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

function weft(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { env: { PATH: process.env.PATH } };
    execFile(process.execPath, [WEFT, ...args], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

t.test('--version is that of the package', async (t) => {
  const { version } = JSON.parse(readFileSync(PACKAGE, 'utf8')) as { version: string };
  t.same(await weft('--version'), { code: 0, stdout: `weft ${version}\n`, stderr: '' });
});

t.test('--help is no error', async (t) => {
  for (const args of [['--help'], ['run', '--help'], ['status', '--help'], ['cleanup', '--help']]) {
    const { code, stdout, stderr } = await weft(...args);
    t.equal(code, 0, args.join(' '));
    t.match(stdout, 'Usage: weft');
    t.equal(stderr, '');
  }
});

t.test('wrong usage is one line and exit code 2', async (t) => {
  for (const [args, says] of [
    [['fly'], "unknown command 'fly'"],
    [['run'], '--lease-file'],
    [['run', '--lease-file', 'x', '--warp'], "unknown option '--warp'"],
    [['run', '--lease-file', 'x', '--workers', '0'], 'from 1 to 64'],
    [['run', '--lease-file', 'x', '--workers', 'two'], 'from 1 to 64'],
    [['run', '--lease-file', 'x', '--offload', 'warp'], 'Allowed choices are'],
    [['run', '--lease-file', 'x', '--peer-check', 'maybe'], 'Allowed choices are strict, mac, off'],
    [['status', '--run-dir'], "'--run-dir <dir>' argument missing"],
  ] as const) {
    const { code, stdout, stderr } = await weft(...args);
    t.equal(code, 2, args.join(' '));
    t.match(stderr, says);
    t.equal(stderr.trimEnd().split('\n').length, 1, stderr);
    t.equal(stdout, '');
  }
});

t.test('status where no weft runs is one line and exit code 1', async (t) => {
  const dir = join(t.testdir({}), 'run');
  for (const args of [[], ['--json']]) {
    const { code, stdout, stderr } = await weft('status', '--run-dir', dir, ...args);
    t.equal(code, 1);
    t.match(stderr, `weft: --run-dir ${dir}: no weft runs with it`);
    t.equal(stderr.split('\n').length, 2);
    t.equal(stdout, '');
  }
});
