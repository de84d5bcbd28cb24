import t from 'tap';
import { FLANNEL_FLAGS } from '../../../src/cli/flags.js';
import { UsageError } from '../../../src/cli/go-flags.js';
import { runFlags } from '../../support/run-flags.js';

t.test('parseFlags accepts one or two dashes, and a value after = or as the next word', async (t) => {
  for (const words of [
    ['-public-ip=x=y'],
    ['--public-ip=x=y'],
    ['-public-ip', 'x=y'],
    ['--public-ip', 'x=y'],
  ]) {
    t.equal(runFlags(...words).values['public-ip'], 'x=y', words.join(' '));
  }
});

t.test('parseFlags accepts a value that looks like a flag or is empty', async (t) => {
  t.equal(runFlags('-public-ip', '--version').values['public-ip'], '--version');
  t.equal(runFlags('-etcd-prefix', '', '-v=1').values['etcd-prefix'], '');
  t.equal(runFlags('-etcd-prefix=').values['etcd-prefix'], '');
});

t.test('parseFlags accepts the value of a boolean only after =; another word ends the flags', async (t) => {
  const { values, given } = runFlags('--ip-masq', 'false', '--kube-subnet-mgr');
  t.equal(values['ip-masq'], true);
  t.equal(values['kube-subnet-mgr'], false);
  t.same([...given], ['ip-masq']);
});

for (const [words, rule] of [
  [['-v', '1', 'stray', '-v', '2'], 'a word'],
  [['-v', '1', '-', '-v', '2'], 'a dash alone'],
  [['-v', '1', '--', '-v', '2'], 'two dashes'],
] as const) {
  t.test(`parseFlags stops at ${rule} and ignores the rest`, async (t) => {
    t.equal(runFlags(...words).values.v, 1);
  });
}

t.test('parseFlags keeps the last value of a flag, and all of iface and iface-regex', async (t) => {
  const { values } = runFlags(
    ...['-v=1', '-iface', 'eth0', '--iface=eth1', '-iface-regex', 'a.*', '-iface-regex', 'b', '-v', '2'],
  );
  t.equal(values.v, 2);
  t.same(values.iface, ['eth0', 'eth1']);
  t.same(values['iface-regex'], ['a.*', 'b']);
});

t.test("parseFlags accepts the booleans of Go's strconv.ParseBool", async (t) => {
  for (const word of ['1', 't', 'T', 'TRUE', 'true', 'True']) {
    t.equal(runFlags(`-ip-masq=${word}`).values['ip-masq'], true, word);
  }
  for (const word of ['0', 'f', 'F', 'FALSE', 'false', 'False']) {
    t.equal(runFlags(`-iptables-forward-rules=${word}`).values['iptables-forward-rules'], false, word);
  }
});

t.test("parseFlags without flags returns flannel's defaults", async (t) => {
  const { values, given } = runFlags();
  const names = Object.keys(FLANNEL_FLAGS) as (keyof typeof FLANNEL_FLAGS)[];
  t.strictSame(Object.fromEntries(names.map((name) => [name, values[name]])), {
    'etcd-endpoints': 'http://127.0.0.1:4001,http://127.0.0.1:2379',
    'etcd-prefix': '/coreos.com/network',
    'etcd-keyfile': '',
    'etcd-certfile': '',
    'etcd-cafile': '',
    'etcd-username': '',
    'etcd-password': '',
    iface: [],
    'iface-regex': [],
    'iface-can-reach': '',
    'subnet-file': '/run/flannel/subnet.env',
    'public-ip': '',
    'public-ipv6': '',
    'subnet-lease-renew-margin': 60,
    'ip-masq': false,
    'ip-masq-fully-random-disable': false,
    'kube-subnet-mgr': false,
    'kube-api-url': '',
    'kube-annotation-prefix': 'flannel.alpha.coreos.com',
    'kubeconfig-file': '',
    version: false,
    'healthz-ip': '0.0.0.0',
    'healthz-port': 0,
    'iptables-resync': 5,
    'iptables-forward-rules': true,
    'ip-blackhole-route': false,
    'net-config-path': '/etc/kube-flannel/net-conf.json',
    'set-node-network-unavailable': true,
    v: 0,
    vmodule: [],
    log_backtrace_at: '',
  });
  t.equal(given.size, 0);
});

t.test('-vmodule parses pairs of a pattern and a level', async (t) => {
  t.strictSame(runFlags('-vmodule=daemon=2,file-*=10,').values.vmodule, [
    { pattern: 'daemon', level: 2 },
    { pattern: 'file-*', level: 10 },
  ]);
});

for (const [words, message] of [
  [['-foo'], 'flag provided but not defined: -foo'],
  [['--foo=secret'], 'flag provided but not defined: -foo'],
  [['-constructor'], 'flag provided but not defined: -constructor'],
  [['---v'], 'bad flag syntax: ---v'],
  [['---etcd-password=secret'], 'bad flag syntax: ---etcd-password'],
  [['-=1'], 'bad flag syntax: -'],
  [['-v=1', '-iface'], 'flag needs an argument: -iface'],
  [['-ip-masq=yes'], 'invalid boolean value "yes" for -ip-masq: parse error'],
  [['-ip-masq='], 'invalid boolean value "" for -ip-masq: parse error'],
  [
    ['-healthz-port=http'],
    'invalid value "http" for flag -healthz-port: parse error: a whole number is needed',
  ],
  [['-v='], 'invalid value "" for flag -v: parse error: a whole number is needed'],
  [['-v', '1.5'], 'invalid value "1.5" for flag -v: parse error: a whole number is needed'],
  [
    ['-v', '99999999999999999999'],
    'invalid value "99999999999999999999" for flag -v: value out of range: a whole number is needed',
  ],
  [
    ['--workers', '0'],
    'invalid value "0" for flag -workers: value out of range: a whole number from 1 to 64 is needed',
  ],
  [
    ['--busy-poll', '10001'],
    'invalid value "10001" for flag -busy-poll: value out of range: a whole number from 0 to 10000 is needed',
  ],
  [['--offload', 'warp'], 'invalid value "warp" for flag -offload: it must be one of auto, none, gso'],
  [
    ['--peer-check', 'maybe'],
    'invalid value "maybe" for flag -peer-check: it must be one of strict, mac, off',
  ],
  [['--log-format', 'xml'], 'invalid value "xml" for flag -log-format: it must be one of klog, json'],
  [['--lease-file='], 'invalid value "" for flag -lease-file: the path must not be empty'],
  [
    ['-vmodule=daemon'],
    'invalid value "daemon" for flag -vmodule: syntax error: expect comma-separated list of filename=N',
  ],
  [
    ['-log_backtrace_at=daemon.js'],
    'invalid value "daemon.js" for flag -log_backtrace_at: syntax error: expect file.js:234',
  ],
] as const) {
  t.test(`parseFlags refuses ${words.join(' ')} in Go's words`, async (t) => {
    t.throws(() => runFlags(...words), new UsageError(message));
  });
}

t.test('parseFlags quotes an unknown flag on one line, at most 60 characters of it', async (t) => {
  t.throws(() => runFlags('-a\nb'), new UsageError('flag provided but not defined: -a\\nb'));
  t.throws(
    () => runFlags(`-${'x'.repeat(70)}`),
    new UsageError(`flag provided but not defined: -${'x'.repeat(60)}`),
  );
  t.throws(() => runFlags('--\n=secret'), new UsageError('flag provided but not defined: -\\n'));
});
