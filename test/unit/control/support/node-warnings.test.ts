import { execFile } from 'node:child_process';
import t from 'tap';

const SUPPORT = new URL('../../../../src/control/support/', import.meta.url).href;

/** Runs code in another Node process after logNodeWarnings; returns the lines of its stderr. */
function stderrOf(code: string, ...flags: string[]): Promise<string[]> {
  const script = `
    import { configureLog } from '${SUPPORT}log.js';
    import { logNodeWarnings } from '${SUPPORT}node-warnings.js';
    import { Worker } from 'node:worker_threads';
    const format = (format) => configureLog({ format, verbosity: 0, vmodule: [] });
    logNodeWarnings();
    ${code}`;
  return new Promise((resolve) => {
    execFile(process.execPath, [...flags, '--input-type=module', '-e', script], (_, __, stderr) =>
      resolve(stderr.split('\n').filter((line) => line !== '')),
    );
  });
}

t.test("logNodeWarnings writes Node's warnings as lines of the log", async (t) => {
  const lines = await stderrOf(`
    process.emitWarning('first', { code: 'DEP0123', type: 'DeprecationWarning', detail: 'more' });
    await new Promise(setImmediate);
    format('json');
    process.emitWarning('second');`);
  t.match(lines[0], /^W\d{4} .* node-warnings\.js:\d+\] Node\.js: DeprecationWarning DEP0123: first; more$/);
  t.match(JSON.parse(lines[1] ?? ''), { level: 'warning', msg: 'Node.js: Warning: second' });
  t.equal(lines.length, 2);
});

t.test("logNodeWarnings writes a worker's warnings as lines of the log", async (t) => {
  const lines = await stderrOf(`new Worker('process.emitWarning("third")', { eval: true });`);
  t.equal(lines.length, 1, lines.join('\n'));
  t.match(lines[0], /^W\d{4} .* node-warnings\.js:\d+\] Node\.js worker: \(node:\d+\) Warning: third/);
});

t.test('logNodeWarnings leaves warnings off with --no-warnings', async (t) => {
  t.same(await stderrOf(`process.emitWarning('fourth');`, '--no-warnings'), []);
});
