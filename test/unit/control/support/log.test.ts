import { mock } from 'node:test';
import t, { type Test } from 'tap';
import {
  configureLog,
  error,
  info,
  type LogOptions,
  verbose,
  warn,
} from '../../../../src/control/support/log.js';
import { Once } from '../../../../src/control/support/once.js';
import { catchStderr } from '../../../support/catch-log.js';

const PLAIN: LogOptions = { format: 'klog', verbosity: 0, vmodule: [] };
const PID = String(process.pid);

/** Configures the log, sets the clock to 2026-11-21T14:28:35.866Z and returns the lines. */
function logWith(t: Test, options: Partial<LogOptions> = {}): string[] {
  mock.timers.enable({ apis: ['Date'], now: Date.UTC(2026, 10, 21, 14, 28, 35, 866) });
  configureLog({ ...PLAIN, ...options });
  t.teardown(() => {
    mock.timers.reset();
    configureLog(PLAIN);
  });
  return catchStderr(t);
}

/** Returns the number of the calling line of the compiled file. */
function hereLine(): number {
  const { prepareStackTrace } = Error;
  Error.prepareStackTrace = (_, sites) => sites;
  const sites = new Error().stack as unknown as NodeJS.CallSite[];
  Error.prepareStackTrace = prepareStackTrace;
  return sites[1]?.getLineNumber() ?? 0;
}

t.test("the log writes klog's header: severity, date, time, process and caller", async (t) => {
  const lines = logWith(t);
  const line = hereLine() + 1;
  info('one');
  warn('two');
  error('three');
  const now = new Date();
  const local = [now.getHours(), now.getMinutes(), now.getSeconds()]
    .map((n) => String(n).padStart(2, '0'))
    .join(':');
  t.equal(lines[0], `I1121 ${local}.866000 ${PID.padStart(7)} log.test.js:${line}] one`);
  t.equal(lines[1], `W1121 ${local}.866000 ${PID.padStart(7)} log.test.js:${line + 1}] two`);
  t.equal(lines[2], `E1121 ${local}.866000 ${PID.padStart(7)} log.test.js:${line + 2}] three`);
});

t.test('the log joins the lines of a message', async (t) => {
  const lines = logWith(t);
  info('one\ntwo \r\n  three\rfour');
  t.match(lines[0], /\] one two three four$/);
});

t.test('the JSON log writes one object per line', async (t) => {
  const lines = logWith(t, { format: 'json' });
  const line = hereLine() + 1;
  info('a "quoted"\nmessage');
  warn('two');
  error('three');
  t.equal(
    lines[0],
    `{"ts":"2026-11-21T14:28:35.866Z","level":"info","caller":"log.test.js:${line}","pid":${PID},"msg":"a \\"quoted\\"\\nmessage"}`,
  );
  t.same(
    lines.map((text) => (JSON.parse(text) as { level: string }).level),
    ['info', 'warning', 'error'],
  );
});

t.test('a log line has no control or format character of its message, in both formats', async (t) => {
  const text = 'type=\u001b]0;x\u0007\u009b2J\u202e\u2028.\nI1121 forged';
  const lines = logWith(t);
  info(text);
  t.match(lines[0], /\] type=\\u001b\]0;x\\u0007\\u009b2J\\u202e\\u2028\. I1121 forged$/);
  configureLog({ ...PLAIN, format: 'json' });
  info(text);
  t.notMatch(lines[1], /[^ -~]/);
  t.equal((JSON.parse(lines[1] as string) as { msg: string }).msg, text);
});

t.test('a log line cuts off a message beyond 16 KiB', async (t) => {
  const lines = logWith(t);
  info(`${'x'.repeat(16 << 10)}yyy`);
  t.match(lines[0], /x\.\.\. \(3 more characters\)$/);
});

t.test('-v writes verbose lines up to its level', async (t) => {
  const lines = logWith(t, { verbosity: 2 });
  const line = hereLine() + 1;
  verbose(2, 'two');
  verbose(3, 'three');
  t.equal(lines.length, 1);
  t.match(lines[0], new RegExp(`^I.* log\\.test\\.js:${line}\\] two$`));
});

for (const [pattern, level, passes] of [
  ['log.test', 2, true],
  ['log?te*', 2, true],
  ['*', 2, true],
  ['log.test', 1, false],
  ['log', 2, false],
  ['logstest', 2, false],
] as const) {
  t.test(`-vmodule ${pattern}=${level} ${passes ? 'writes' : 'omits'} a line of level 2`, async (t) => {
    const lines = logWith(t, { vmodule: [{ pattern, level }] });
    verbose(2, 'two');
    t.equal(lines.length, passes ? 1 : 0);
  });
}

t.test('-vmodule uses the first pattern that matches, and never lowers -v', async (t) => {
  const lines = logWith(t, {
    verbosity: 1,
    vmodule: [
      { pattern: 'log*', level: 0 },
      { pattern: '*', level: 9 },
    ],
  });
  verbose(1, 'one');
  verbose(2, 'two');
  t.equal(lines.length, 1);
});

t.test('-log_backtrace_at adds the stack to the log lines of its position', async (t) => {
  const line = hereLine() + 3;
  const lines = logWith(t, { backtraceAt: `log.test.js:${line}` });
  info('another');
  info('one');
  t.match(lines[0], /another$/);
  t.match(lines[1], new RegExp(`\\] one \\(stack: log\\.test\\.js:${line} < [^\\n]+\\)$`));
});

t.test('the log names the caller of Once, not Once itself', async (t) => {
  const lines = logWith(t);
  const once = new Once();
  const line = hereLine() + 1;
  once.log('one');
  t.match(lines[0], ` log.test.js:${line}] one`);
});
