import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Credentials } from '../../../../../src/control/leases/credentials.js';
import { type ApiAccess, loadAccess } from '../../../../../src/control/leases/kubernetes/kubeconfig.js';
import { catchLog } from '../../../../support/catch-log.js';
import { KUBERNETES } from '../../../../support/conf.js';
import { makeTls } from '../../../../support/tls.js';
import { mentions, refusal } from '../../../../support/user-error.js';

const WORDS = 'fail to create kubernetes config: --kubeconfig-file ';

const folder = t.testdir({});
const [tls, other] = [makeTls(folder, 'kube'), makeTls(folder, 'other')];

const base64 = (path: string): string => readFileSync(path).toString('base64');

interface Parts {
  cluster?: object;
  user?: object;
  root?: object;
}

/** Returns a valid kubeconfig as an object, with changes. */
function kubeconfig({ cluster = {}, user = {}, root = {} }: Parts = {}): object {
  return {
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'here' },
    contexts: [{ name: 'here', context: { cluster: 'main', user: 'weft' } }],
    clusters: [{ name: 'main', cluster: { server: 'https://192.0.2.1:6443', ...cluster } }],
    users: [{ name: 'weft', user }],
    ...root,
  };
}

async function load(
  t: Test,
  content: string | object,
  files: Record<string, string> = {},
): Promise<ApiAccess> {
  const text = typeof content === 'string' ? content : JSON.stringify(content);
  const dir = t.testdir({ kubeconfig: text, ...files });
  const options = { ...KUBERNETES, kubeconfigFile: join(dir, 'kubeconfig') };
  return (await loadAccess(options, '')).value;
}

t.test('loadAccess refuses what is no kubeconfig in one line with file, fault and remedy', async (t) => {
  for (const [name, content, ...says] of [
    ['empty', '', 'the file is empty', 'copy a kubeconfig'],
    ['comment', '# nothing\n', 'the file is empty'],
    ['null', 'null', 'the file is empty'],
    ['list', '- a\n- b\n', 'the file is a list, not a kubeconfig'],
    ['scalar', 'hello', 'the file is a text, not a kubeconfig'],
    ['number', '7', 'the file is a number'],
    ['broken', 'clusters:\n  - a: [1\n  b', 'line 3 is not YAML'],
    ['tab', 'kind: Config\n\tusers: secret-word', 'line 2 is not YAML'],
    ['binary', '\x00\x01\x02', 'line 1 is not YAML'],
    ['two documents', 'a: 1\n---\nb: 2\n', 'not YAML'],
    ['other kind', 'kind: Secret\n', 'kind is "Secret", but a kubeconfig has kind: Config'],
    ['kind of another type', 'kind: [1]\n', 'kind is a list'],
    ['nothing in it', '{}', 'contexts has no entry'],
    ['null lists', 'clusters: null\ncontexts: null\nusers: null\n', 'contexts has no entry'],
    [
      'lists of another type',
      kubeconfig({ root: { clusters: {} } }),
      'clusters is a mapping; it must be a list',
    ],
    ['users as text', kubeconfig({ root: { users: 'me' } }), 'users is a text; it must be a list'],
    ['entry of another type', kubeconfig({ root: { contexts: [null] } }), 'contexts[0] is empty'],
    ['entry without a name', kubeconfig({ root: { clusters: [{}] } }), 'clusters[0].name is missing'],
    [
      'entry without content',
      kubeconfig({ root: { clusters: [{ name: 'a' }] } }),
      'clusters[0].cluster is missing',
    ],
    [
      'no current-context',
      kubeconfig({ root: { 'current-context': '' } }),
      'current-context is missing',
      '(here)',
    ],
    [
      'unknown context',
      kubeconfig({ root: { 'current-context': 'nope' } }),
      'current-context "nope" is not in contexts',
      '(here)',
    ],
    [
      'context of another type',
      kubeconfig({ root: { 'current-context': 7 } }),
      'current-context is a number',
    ],
    [
      'no clusters',
      kubeconfig({ root: { clusters: [] } }),
      'context "here" names cluster "main"',
      '(there are none)',
    ],
    [
      'no users',
      kubeconfig({ root: { users: null } }),
      'context "here" names user "weft"',
      '(there are none)',
    ],
    [
      'context without cluster',
      kubeconfig({ root: { contexts: [{ name: 'here', context: {} }] } }),
      'context "here" has no cluster',
    ],
    ['no server', kubeconfig({ cluster: { server: null } }), 'clusters[0].cluster.server is missing'],
    [
      'server of another type',
      kubeconfig({ cluster: { server: 6443 } }),
      'clusters[0].cluster.server is a number',
    ],
    [
      'no URL',
      kubeconfig({ cluster: { server: '192.0.2.1' } }),
      '"192.0.2.1" is not the URL of an API server',
    ],
    [
      'other scheme',
      kubeconfig({ cluster: { server: 'ftp://a' } }),
      '"ftp://a" is not the URL of an API server',
    ],
    [
      'skip of another type',
      kubeconfig({ cluster: { 'insecure-skip-tls-verify': 'yes' } }),
      'insecure-skip-tls-verify is a text',
    ],
    ['proxy', kubeconfig({ cluster: { 'proxy-url': 'here' } }), 'proxy-url "here" is not a URL'],
    [
      'junk CA',
      kubeconfig({ cluster: { 'certificate-authority-data': '%%%' } }),
      'clusters[0].cluster.certificate-authority-data: it has no certificate',
      'PEM in base64',
    ],
    [
      'PEM without base64',
      kubeconfig({ cluster: { 'certificate-authority-data': readFileSync(tls.ca, 'utf8') } }),
      'certificate-authority-data: it has no certificate',
    ],
    [
      'CA of another type',
      kubeconfig({ cluster: { 'certificate-authority-data': 1 } }),
      'certificate-authority-data is a number',
    ],
    [
      'missing CA file',
      kubeconfig({ cluster: { 'certificate-authority': 'ca.pem' } }),
      'certificate-authority ',
      'ca.pem: no such file',
    ],
    [
      'CA file is a directory',
      kubeconfig({ cluster: { 'certificate-authority': '.' } }),
      'this is a directory',
    ],
    [
      'half a CA file',
      kubeconfig({ cluster: { 'certificate-authority': 'half' } }),
      'half: a certificate in it is cut off',
    ],
    [
      'damaged CA file',
      kubeconfig({ cluster: { 'certificate-authority': 'damaged' } }),
      'damaged: a certificate in it is damaged',
    ],
    [
      'certificate only',
      kubeconfig({ user: { 'client-certificate': tls.cert } }),
      'has a client-certificate but no client-key',
    ],
    [
      'key only',
      kubeconfig({ user: { 'client-key-data': base64(tls.key) } }),
      'has a client-key but no client-certificate',
    ],
    [
      'no key',
      kubeconfig({ user: { 'client-certificate': tls.cert, 'client-key': tls.cert } }),
      'it has no private key',
    ],
    [
      'other pair',
      kubeconfig({ user: { 'client-certificate': tls.cert, 'client-key': other.key } }),
      'do not match',
    ],
    ['token of another type', kubeconfig({ user: { token: 12345 } }), 'users[0].user.token is a number'],
    [
      'token with a line',
      kubeconfig({ user: { token: 'secret-word\nb' } }),
      'users[0].user.token: the token has a space',
    ],
    ['missing token file', kubeconfig({ user: { tokenFile: '/none' } }), 'tokenFile /none: no such file'],
    ['token file is a device', kubeconfig({ user: { tokenFile: '/dev/zero' } }), 'this is a device'],
    [
      'CA file is a device',
      kubeconfig({ cluster: { 'certificate-authority': '/dev/null' } }),
      'this is a device',
    ],
    ['deeply nested', `${'['.repeat(100_000)}`, 'line 1 is not YAML'],
    ['an alias of many letters', `users: *${'a'.repeat(60_000)}`, `aaa); correct it`],
    ['empty token file', kubeconfig({ user: { tokenFile: 'blank' } }), 'blank: the token is empty'],
    ['exec of another type', kubeconfig({ user: { exec: 'login' } }), 'users[0].user.exec is a text'],
  ] as const) {
    await t.test(name, async (t) => {
      const files = {
        half: readFileSync(tls.ca, 'utf8').slice(0, 100),
        damaged: readFileSync(tls.ca, 'utf8').replace(/\n.{20}/, '\n'),
        blank: '\n',
      };
      const message = await refusal(t, () => load(t, content, files));
      mentions(t, message, WORDS, ...says);
      t.notMatch(message, /undefined|\[object|Cannot read|secret-word/);
    });
  }
});

t.test('loadAccess names the helper that gives no credentials', async (t) => {
  for (const [command, args] of [
    ['/none/helper', []],
    ['/bin/echo', ['not JSON']],
    ['/bin/sh', ['-c', 'echo one >&2; echo two >&2; exit 1']],
  ] as const) {
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command, args };
    const message = await refusal(t, () => load(t, kubeconfig({ user: { exec } })), command);
    mentions(
      t,
      message,
      'unable to initialize client: --kubeconfig-file ',
      `exec ${command} gives no credentials`,
    );
  }
  const message = await refusal(t, () => load(t, kubeconfig({ user: { exec: {} } })));
  mentions(t, message, WORDS, 'users[0].user.exec.command is missing');
});

t.test('loadAccess refuses a file that it cannot read', async (t) => {
  const dir = t.testdir({});
  for (const [path, says] of [
    [join(dir, 'none'), 'no such file; create it'],
    [dir, 'this is a directory; name a file'],
    ['/dev/zero', 'this is a device; name a file'],
  ] as const) {
    const message = await refusal(t, () => loadAccess({ ...KUBERNETES, kubeconfigFile: path }, ''));
    mentions(t, message, WORDS, path, says);
  }
});

t.test('loadAccess reads relative files, data before files, and a token file before a token', async (t) => {
  const cluster = { 'certificate-authority': 'missing', 'certificate-authority-data': base64(tls.ca) };
  const user = {
    ...{
      'client-certificate': 'cert',
      'client-key': 'key',
      tokenFile: 'token',
      token: 'inline',
      as: 'someone',
    },
  };
  const files = {
    cert: readFileSync(tls.cert, 'utf8'),
    key: readFileSync(tls.key, 'utf8'),
    token: 'of-a-file\n',
  };
  const { config, server } = await load(t, kubeconfig({ cluster, user }), files);
  t.equal(server, 'https://192.0.2.1:6443');
  t.match(config.getCurrentCluster(), { caData: base64(tls.ca) });
  t.match(config.getCurrentUser(), {
    ...{
      certData: base64(tls.cert),
      keyData: base64(tls.key),
      token: 'of-a-file',
      impersonateUser: 'someone',
    },
  });
});

t.test('a token file that becomes a FIFO leaves the last valid token in use', async (t) => {
  const log = catchLog(t);
  const content = JSON.stringify(kubeconfig({ user: { tokenFile: 'token' } }));
  const dir = t.testdir({ kubeconfig: content, token: 'first\n' });
  const options = { ...KUBERNETES, kubeconfigFile: join(dir, 'kubeconfig') };
  const credentials = await Credentials.open(() => loadAccess(options, ''));
  rmSync(join(dir, 'token'));
  execFileSync('mkfifo', [join(dir, 'token')], { stdio: 'ignore' });
  const { config } = await credentials.current();
  t.equal(config.getCurrentUser()?.token, 'first');
  t.equal(log.length, 1);
  mentions(t, log[0] ?? '', join(dir, 'token'), 'this is a FIFO', 'the last valid credentials stay in use');
});

t.test('loadAccess accepts --kube-api-url with a kubeconfig that names no server', async (t) => {
  const dir = t.testdir({ kubeconfig: '{"kind":"Config"}' });
  const options = {
    ...KUBERNETES,
    kubeconfigFile: join(dir, 'kubeconfig'),
    apiUrl: 'http://192.0.2.2:8080/',
  };
  t.equal((await loadAccess(options, '')).value.server, 'http://192.0.2.2:8080');
});

t.test('loadAccess names the bad file of a service account', async (t) => {
  const root = t.testdir({});
  const dir = join(root, 'var/run/secrets/kubernetes.io/serviceaccount');
  mkdirSync(dir, { recursive: true });
  process.env.KUBERNETES_SERVICE_HOST = 'fd00::1';
  process.env.KUBERNETES_SERVICE_PORT = '443';
  t.teardown(() => {
    delete process.env.KUBERNETES_SERVICE_HOST;
    delete process.env.KUBERNETES_SERVICE_PORT;
  });
  const options = { ...KUBERNETES, kubeconfigFile: undefined, apiUrl: undefined };
  const failed = (): Promise<string> => refusal(t, () => loadAccess(options, root));
  mentions(t, await failed(), `${dir}/token: `, 'no such file', 'give the pod a service account');
  writeFileSync(join(dir, 'token'), 'a-token\n');
  writeFileSync(join(dir, 'ca.crt'), 'junk');
  mentions(t, await failed(), `${dir}/ca.crt: it has no certificate`);
  writeFileSync(join(dir, 'ca.crt'), readFileSync(tls.ca));
  const { value, files } = await loadAccess(options, root);
  t.equal(value.server, 'https://[fd00::1]:443');
  t.same(files, [join(dir, 'ca.crt'), join(dir, 'token')]);
});
