import t from 'tap';
import { formatFlagsConfig } from '../../../src/cli/flags-config.js';
import { runFlags } from '../../support/run-flags.js';

function configOf(...words: string[]): string {
  return formatFlagsConfig(runFlags(...words).values);
}

t.test("formatFlagsConfig prints the flags as Go prints flanneld's", async (t) => {
  t.equal(
    configOf('-kube-subnet-mgr', '-iface=eth0', '-iface=eth1', '-healthz-port=8081'),
    'CLI flags config: {etcdEndpoints:http://127.0.0.1:4001,http://127.0.0.1:2379 etcdPrefix:/coreos.com/network etcdKeyfile: etcdCertfile: etcdCAFile: etcdUsername: etcdPassword: version:false kubeSubnetMgr:true kubeApiUrl: kubeAnnotationPrefix:flannel.alpha.coreos.com kubeConfigFile: iface:[eth0 eth1] ifaceRegex:[] ipMasq:false ipMasqRandomFullyDisable:false ifaceCanReach: subnetFile:/run/flannel/subnet.env publicIP: publicIPv6: subnetLeaseRenewMargin:60 healthzIP:0.0.0.0 healthzPort:8081 iptablesResyncSeconds:5 iptablesForwardRules:true blackholeRoute:false netConfPath:/etc/kube-flannel/net-conf.json setNodeNetworkUnavailable:true}',
  );
});

for (const [words, shows] of [
  [['-etcd-username=root', '-etcd-password=secret'], ' etcdUsername:root etcdPassword:*** version:'],
  [
    ['-etcd-endpoints=https://u:secret@a:2379,http://b:2379, https://c:secret@d'],
    '{etcdEndpoints:https://***@a:2379,http://b:2379, https://***@d etcdPrefix:',
  ],
  [['-etcd-endpoints=https://u:sec,ret/@x@a:2379'], '{etcdEndpoints:https://***@a:2379 etcdPrefix:'],
  [['-etcd-endpoints=u:secret@a:2379'], '{etcdEndpoints:***@a:2379 etcdPrefix:'],
  [['-kube-api-url=https://u:secret@api:6443/'], ' kubeApiUrl:https://***@api:6443/ kubeAnnotationPrefix:'],
] as const) {
  t.test(`formatFlagsConfig hides the secret of ${words.join(' ')}`, async (t) => {
    const line = configOf(...words);
    t.ok(line.includes(shows), line);
    t.notMatch(line, /secret|sec,ret/);
  });
}
