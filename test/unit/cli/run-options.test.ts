import t from 'tap';
import { UsageError } from '../../../src/cli/go-flags.js';
import { runOptions } from '../../../src/cli/run-options.js';
import { ETCD } from '../../support/conf.js';
import { runFlags } from '../../support/run-flags.js';
import { mentions, refusal } from '../../support/user-error.js';

function optionsOf(...words: string[]) {
  const { values, given } = runFlags(...words);
  return runOptions(values, given);
}

t.test("runOptions without flags gives etcd with flannel's defaults", async (t) => {
  t.strictSame(optionsOf(), {
    source: ETCD,
    underlay: {
      iface: [],
      ifaceRegex: [],
      ifaceCanReach: undefined,
      publicIp: { ipv4: undefined, ipv6: undefined },
    },
    health: { address: '0.0.0.0', port: 0 },
    metrics: { peers: 500 },
    rules: {
      ipMasq: false,
      fullyRandom: true,
      resyncSeconds: 5,
      forwardRules: true,
      blackholeRoute: false,
    },
    adopt: false,
    takeover: false,
    subnetFile: '/run/flannel/subnet.env',
    runDir: '/run/weft',
    workers: 1,
    offload: 'auto',
    attach: {},
    gsoTrains: 'auto',
    busyPoll: 200,
    peerCheck: undefined,
  });
});

t.test('runOptions maps every flag to its option', async (t) => {
  const options = optionsOf(
    ...['-etcd-endpoints= https://a:2379 ,https://b:2379,', '-etcd-prefix=/p', '-etcd-keyfile=k'],
    ...['-etcd-certfile=c', '-etcd-cafile=ca', '-etcd-username=u', '-etcd-password=w'],
    ...['-subnet-lease-renew-margin=1439', '-iface=eth0', '-iface-regex=e.*', '-iface-can-reach=10.0.0.9'],
    ...['-public-ip=10.0.0.1', '-public-ipv6=fd00::1', '-healthz-ip=::', '-healthz-port=8081', '-ip-masq'],
    ...['-ip-masq-fully-random-disable', '-iptables-resync=9', '-iptables-forward-rules=false'],
    ...[
      '-ip-blackhole-route',
      '-adopt',
      '-takeover',
      '-subnet-file=s',
      '-run-dir=r',
      '-workers=2',
      '-offload=none',
    ],
    ...['-gso-trains=off', '-busy-poll=0', '-peer-check=mac', '-metrics-peers=7'],
  );
  t.strictSame(options, {
    source: {
      type: 'etcd',
      endpoints: ['https://a:2379', 'https://b:2379'],
      prefix: '/p',
      keyFile: 'k',
      certFile: 'c',
      caFile: 'ca',
      username: 'u',
      password: 'w',
      renewMargin: 1439,
      runDir: 'r',
    },
    underlay: {
      iface: ['eth0'],
      ifaceRegex: ['e.*'],
      ifaceCanReach: '10.0.0.9',
      publicIp: { ipv4: '10.0.0.1', ipv6: 'fd00::1' },
    },
    health: { address: '::', port: 8081 },
    metrics: { peers: 7 },
    rules: { ipMasq: true, fullyRandom: false, resyncSeconds: 9, forwardRules: false, blackholeRoute: true },
    adopt: true,
    takeover: true,
    subnetFile: 's',
    runDir: 'r',
    workers: 2,
    offload: 'none',
    attach: {},
    gsoTrains: 'off',
    busyPoll: 0,
    peerCheck: 'mac',
  });
});

t.test('--kube-subnet-mgr selects Kubernetes and ignores the flags of etcd', async (t) => {
  const { source } = optionsOf(
    ...['-kube-subnet-mgr', '-etcd-prefix=/p', '-kube-api-url=https://api:6443', '-kubeconfig-file=k'],
    ...['-kube-annotation-prefix=p', '-net-config-path=n', '-set-node-network-unavailable=false'],
  );
  t.strictSame(source, {
    type: 'kubernetes',
    netConfigPath: 'n',
    apiUrl: 'https://api:6443',
    kubeconfigFile: 'k',
    annotationPrefix: 'p',
    setNodeNetworkUnavailable: false,
    runDir: '/run/weft',
  });
  t.match(optionsOf('-kube-subnet-mgr').source, {
    apiUrl: undefined,
    kubeconfigFile: undefined,
    annotationPrefix: 'flannel.alpha.coreos.com',
    setNodeNetworkUnavailable: true,
  });
});

t.test('--lease-file selects the file', async (t) => {
  t.strictSame(optionsOf('--lease-file', 'l', '--net-config-path', 'n', '--kube-subnet-mgr=false').source, {
    type: 'file',
    leaseFile: 'l',
    netConfigPath: 'n',
  });
});

t.test('--lease-file overrides the lease source in the environment', async (t) => {
  const { values, given } = runFlags('--lease-file', 'l');
  const { source } = runOptions({ ...values, 'kube-subnet-mgr': true, 'etcd-prefix': '/p' }, given);
  t.equal(source.type, 'file');
});

for (const other of ['--kube-subnet-mgr', '--etcd-endpoints=http://a', '--etcd-password=secret']) {
  const flag = other.split('=')[0];
  t.test(`runOptions refuses --lease-file together with ${flag}`, async (t) => {
    t.throws(
      () => optionsOf('--lease-file', 'l', other),
      new UsageError(`--lease-file and ${flag} are two sources of leases; give only one of them`),
    );
  });
}

t.test('a negative --healthz-port disables the health endpoints', async (t) => {
  t.equal(optionsOf('-healthz-port=-1').health.port, 0);
});

t.test('runOptions refuses a renew margin outside a day for every lease source', async (t) => {
  for (const words of [['0'], ['1440'], ['-1', '-kube-subnet-mgr']] as const) {
    const message = await refusal(t, () => optionsOf('-subnet-lease-renew-margin', ...words));
    mentions(
      t,
      message,
      `Invalid subnet-lease-renew-margin option, out of acceptable range: ${words[0]};`,
      /from 1 to 1439/,
    );
  }
});

t.test('runOptions refuses --etcd-endpoints without an address', async (t) => {
  const message = await refusal(t, () => optionsOf('-etcd-endpoints= , '));
  mentions(t, message, '--etcd-endpoints " , ": contains no address');
});

t.test('runOptions limits --iptables-resync to 1 s and the longest timer', (t) => {
  for (const [flag, seconds] of [
    ['0', 1],
    ['-5', 1],
    ['2147483', 2_147_483],
    ['2147484', 2_147_483],
  ] as const) {
    t.equal(optionsOf(`-iptables-resync=${flag}`).rules.resyncSeconds, seconds, flag);
  }
  t.end();
});
