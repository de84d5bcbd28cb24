import t from 'tap';
import { applyEnvironment } from '../../../src/cli/environment.js';
import { FLANNEL_FLAGS, WEFT_FLAGS } from '../../../src/cli/flags.js';
import { runFlags } from '../../support/run-flags.js';

function withEnvironment(words: readonly string[], environment: NodeJS.ProcessEnv) {
  const { values, given } = runFlags(...words);
  return { values, problems: applyEnvironment(FLANNEL_FLAGS, values, given, environment) };
}

t.test('applyEnvironment sets every flag of flannel and klog from its variable', async (t) => {
  const { values, problems } = withEnvironment([], {
    FLANNELD_ETCD_ENDPOINTS: 'http://10.0.0.1:2379',
    FLANNELD_IP_MASQ: 'true',
    FLANNELD_PUBLIC_IPV6: 'fd00::1',
    FLANNELD_HEALTHZ_PORT: '8081',
    FLANNELD_V: '4',
    FLANNELD_VMODULE: 'daemon=2',
    FLANNELD_LOG_BACKTRACE_AT: 'daemon.js:1',
  });
  t.same(problems, []);
  t.match(values, {
    'etcd-endpoints': 'http://10.0.0.1:2379',
    'ip-masq': true,
    'public-ipv6': 'fd00::1',
    'healthz-port': 8081,
    v: 4,
    vmodule: [{ pattern: 'daemon', level: 2 }],
    log_backtrace_at: 'daemon.js:1',
  });
});

t.test('applyEnvironment keeps a flag of the command line, even with its default value', async (t) => {
  const { values } = withEnvironment(['-ip-masq=false', '-iface=eth0'], {
    FLANNELD_IP_MASQ: 'true',
    FLANNELD_IFACE: 'eth1',
  });
  t.equal(values['ip-masq'], false);
  t.same(values.iface, ['eth0']);
});

t.test('applyEnvironment ignores an empty variable', async (t) => {
  const { values, problems } = withEnvironment([], { FLANNELD_ETCD_PREFIX: '', FLANNELD_V: '' });
  t.equal(values['etcd-prefix'], '/coreos.com/network');
  t.same(problems, []);
});

t.test('applyEnvironment gives a repeatable flag one value', async (t) => {
  t.same(withEnvironment([], { FLANNELD_IFACE: 'eth0,eth1' }).values.iface, ['eth0,eth1']);
});

t.test('applyEnvironment reports an invalid value and applies the others', async (t) => {
  const { values, problems } = withEnvironment([], {
    FLANNELD_IP_MASQ: 'perhaps',
    FLANNELD_HEALTHZ_PORT: 'tcp://10.0.0.1:80',
    FLANNELD_V: '3',
  });
  t.same(problems, [
    'Failed to set flag FLANNELD from env: invalid value "perhaps" for FLANNELD_IP_MASQ: parse error',
    'Failed to set flag FLANNELD from env: invalid value "tcp://10.0.0.1:80" for FLANNELD_HEALTHZ_PORT: parse error: a whole number is needed',
  ]);
  t.match(values, { 'ip-masq': false, 'healthz-port': 0, v: 3 });
});

t.test('applyEnvironment has no variables for flags that only Weft has', async (t) => {
  const { values } = withEnvironment([], {
    FLANNELD_WORKERS: '2',
    FLANNELD_LEASE_FILE: 'x',
    WEFT_WORKERS: '2',
  });
  t.equal(values.workers, WEFT_FLAGS.workers.initial);
  t.equal(values['lease-file'], undefined);
});
