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
import { catchStderr } from '../../../support/catch-log.js';

const PLAIN: LogOptions = { format: 'klog', verbosity: 0, vmodule: [] };
const PID = String(process.pid);

/** The log as it is configured, at 14:28:35.866 of a 21st November in Greenwich. */
function logWith(t: Test, options: Partial<LogOptions> = {}): string[] {
  mock.timers.enable({ apis: ['Date'], now: Date.UTC(2026, 10, 21, 14, 28, 35, 866) });
  configureLog({ ...PLAIN, ...options });
  t.teardown(() => {
    mock.timers.reset();
    configureLog(PLAIN);
  });
  return catchStderr(t);
}

/** The line of this file, as it runs, that calls it. */
function hereLine(): number {
  const { prepareStackTrace } = Error;
  Error.prepareStackTrace = (_, sites) => sites;
  const sites = new Error().stack as unknown as NodeJS.CallSite[];
  Error.prepareStackTrace = prepareStackTrace;
  return sites[1]?.getLineNumber() ?? 0;
}

t.test("a line has klog's header: severity, date, time, process and place", async (t) => {
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
  t.match(lines[1], new RegExp(`^W1121 ${local}\\.866\\d{3} .* log\\.test\\.js:${line + 1}\\] two$`));
  t.match(lines[2], new RegExp(`^E1121 ${local}\\.866\\d{3} .* log\\.test\\.js:${line + 2}\\] three$`));
});

t.test('the time is that of the clock also after it was set', async (t) => {
  const lines = logWith(t, { format: 'json' });
  info('one');
  mock.timers.setTime(Date.UTC(2001, 0, 1));
  info('two');
  mock.timers.setTime(Date.UTC(2030, 0, 1));
  info('three');
  t.same(
    lines.map((line) => (JSON.parse(line) as { ts: string }).ts),
    ['2026-11-21T14:28:35.866Z', '2001-01-01T00:00:00.000Z', '2030-01-01T00:00:00.000Z'],
  );
});

t.test('a message is one line, whatever is in it', async (t) => {
  const lines = logWith(t);
  info('one\ntwo \r\n  three\rfour');
  t.match(lines[0], /\] one two three four$/);
});

t.test('json has an object a line', async (t) => {
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

t.test('-v lets lines up to its level through', async (t) => {
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
  t.test(
    `-vmodule ${pattern}=${level} ${passes ? 'lets' : 'does not let'} a line of level 2 through`,
    async (t) => {
      const lines = logWith(t, { vmodule: [{ pattern, level }] });
      verbose(2, 'two');
      t.equal(lines.length, passes ? 1 : 0);
    },
  );
}

t.test('of several patterns the first that matches counts, and none takes away what -v grants', async (t) => {
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

t.test('-log_backtrace_at adds the stack to what its line logs', async (t) => {
  const line = hereLine() + 3;
  const lines = logWith(t, { backtraceAt: `log.test.js:${line}` });
  info('another');
  info('one');
  t.match(lines[0], /another$/);
  t.match(lines[1], new RegExp(`\\] one \\(stack: log\\.test\\.js:${line} < [^\\n]+\\)$`));
});
