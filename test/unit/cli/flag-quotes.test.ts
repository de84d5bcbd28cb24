import t from 'tap';
import { applyEnvironment, variableOf } from '../../../src/cli/environment.js';
import { refuseQuotes } from '../../../src/cli/flag-quotes.js';
import { FLANNEL_FLAGS, RUN_FLAGS, type RunFlag } from '../../../src/cli/flags.js';
import { runFlags } from '../../support/run-flags.js';
import { mentions, refusal } from '../../support/user-error.js';

const REMEDY = 'the quote characters are part of the value';

/** Flags whose value is a text, except those that may be in quotes. */
const TEXTS = (Object.keys(RUN_FLAGS) as RunFlag[]).filter((name) => {
  const { initial, placeholder, quotable } = RUN_FLAGS[name];
  const isText = typeof initial === 'string' || Array.isArray(initial) || placeholder === 'PATH';
  const isParsed = ['PATTERN=N,...', 'FILE:LINE'].includes(placeholder) || placeholder.includes('|');
  return isText && !isParsed && quotable !== true;
});

t.test('refuseQuotes names flag, value and remedy for every flag with a text', async (t) => {
  t.ok(TEXTS.length >= 19, TEXTS.join());
  for (const name of TEXTS) {
    for (const value of [`"/a/b"`, `'eth0'`, '`x`', '“x”', ` "x" `]) {
      const { values, given } = runFlags(`--${name}=${value}`);
      const message = await refusal(t, () => refuseQuotes(RUN_FLAGS, values, given), `${name} ${value}`);
      mentions(t, message, `invalid value ${JSON.stringify(value)} for --${name}: `, REMEDY);
    }
  }
});

t.test('refuseQuotes names the variable', async (t) => {
  for (const name of TEXTS.filter((name) => name in FLANNEL_FLAGS)) {
    const { values, given } = runFlags();
    applyEnvironment(FLANNEL_FLAGS, values, given, { [variableOf(name)]: "'x'" });
    const message = await refusal(t, () => refuseQuotes(RUN_FLAGS, values, given), name);
    mentions(t, message, `invalid value "'x'" for ${variableOf(name)}: `, REMEDY);
  }
});

t.test('refuseQuotes finds quotes around one URL of a list, and shows no password', async (t) => {
  const { values, given } = runFlags('--etcd-endpoints=http://10.0.0.1:1,"http://me:secret@10.0.0.2:1"');
  const message = await refusal(t, () => refuseQuotes(RUN_FLAGS, values, given));
  mentions(t, message, '--etcd-endpoints', '10.0.0.2:1');
  t.notMatch(message, 'secret');
});

t.test('refuseQuotes accepts a password in quotes, and quotes within a value', async (t) => {
  const { values, given } = runFlags(
    ...['--etcd-password="word"', `--iface=it's`, `--run-dir=/a"b"c`, '--public-ip="', '-v=1'],
  );
  t.doesNotThrow(() => refuseQuotes(RUN_FLAGS, values, given));
});

t.test('parseFlags and applyEnvironment explain quotes around a number or a boolean', async (t) => {
  t.throws(() => runFlags('--healthz-port="8081"'), { message: new RegExp(`-healthz-port: ${REMEDY}`) });
  t.throws(() => runFlags(`--ip-masq='true'`), { message: new RegExp(`-ip-masq: ${REMEDY}`) });
  const { values, given } = runFlags();
  const [problem = ''] = applyEnvironment(FLANNEL_FLAGS, values, given, { FLANNELD_IP_MASQ: '"true"' });
  mentions(t, problem, 'FLANNELD_IP_MASQ', REMEDY);
});
