/** Weft logs the messages of flannel's troubleshooting page, each for its cause. */

import { mkdir, writeFile } from 'node:fs/promises';
import t from 'tap';
import { KubeApi } from '../../support/kube-api.js';
import { kubeNode } from '../../support/kube-nodes.js';
import { makeBed } from '../support/bed.js';
import { isReady, joinUnderlay, SERVER_ADDRESS, startMember } from '../support/cluster.js';

const NET_CONF = '{ "Network": "10.244.0.0/16", "Backend": { "Type": "vxlan" } }';

t.test('weft run with leases from Kubernetes', async (t) => {
  const lab = await makeBed(t, { name: 'messages', nodes: 3 });
  await joinUnderlay(t, lab);
  const dir = `${lab.dir}/api`;
  await mkdir(dir);
  const api = await KubeApi.start(dir, SERVER_ADDRESS);
  t.teardown(() => api.stop());
  api.fill([
    kubeNode('node1', ['10.244.1.0/24']),
    kubeNode('bare', []),
    kubeNode('outside', ['10.9.1.0/24']),
  ]);
  api.pods.set('kube-flannel/homeless', undefined);
  const kubeconfig = api.writeKubeconfig({ token: 'a-token' });
  const netConf = `${lab.dir}/net-conf.json`;
  await writeFile(netConf, NET_CONF);
  await writeFile(`${lab.dir}/broken.json`, '{ "Network": "10.244.0.0/16", ');
  await writeFile(
    `${lab.dir}/unknown.json`,
    '{ "Network": "10.244.0.0/16", "Backend": { "Type": "geneve" } }',
  );
  await writeFile(`${lab.dir}/empty.json`, '{ "Backend": { "Type": "vxlan" } }');

  const start = (env: NodeJS.ProcessEnv, ...flags: string[]) =>
    startMember(
      t,
      lab.node(1),
      ['--kube-subnet-mgr', `--kubeconfig-file=${kubeconfig}`, `--net-config-path=${netConf}`, ...flags],
      { env },
    );

  for (const { cause, env = { NODE_NAME: 'node1' }, flags = [], says } of [
    {
      cause: 'a node without podCIDR',
      env: { NODE_NAME: 'bare' },
      says: /^Error registering network: failed to acquire lease: node "bare" pod cidr not assigned.*--allocate-node-cidrs/,
    },
    {
      cause: 'a podCIDR outside of Network',
      env: { NODE_NAME: 'outside' },
      says: /^Error registering network: failed to acquire lease: subnet "10\.244\.0\.0\/16" specified in the flannel net config doesn't contain "10\.9\.1\.0\/24" PodCIDR of the "outside" node/,
    },
    {
      cause: 'no net-conf file',
      flags: [`--net-config-path=${lab.dir}/missing.json`],
      says: /^Failed to create SubnetManager: failed to read net conf: .*missing\.json: no such file/,
    },
    {
      cause: 'a net-conf that is not JSON',
      flags: [`--net-config-path=${lab.dir}/broken.json`],
      says: /^Failed to create SubnetManager: error parsing subnet config: .*broken\.json:1:\d+ .*not JSON/,
    },
    {
      cause: 'a net-conf without Network',
      flags: [`--net-config-path=${lab.dir}/empty.json`],
      says: /^Failed to create SubnetManager: error parsing subnet config: .*please define a correct Network parameter in the flannel config/,
    },
    {
      cause: 'a backend that does not exist',
      flags: [`--net-config-path=${lab.dir}/unknown.json`],
      says: /^Failed to create SubnetManager: .*Backend\.Type is "geneve": unknown backend type/,
    },
    {
      cause: 'a kubeconfig that does not exist',
      flags: [`--kubeconfig-file=${lab.dir}/no-such-file`],
      says: /^Failed to create SubnetManager: fail to create kubernetes config: .*no-such-file/,
    },
    {
      cause: 'quotes around the path of the kubeconfig, which no shell has taken away',
      flags: [`--kubeconfig-file="${kubeconfig}"`],
      says: /^invalid value .*kubeconfig.* for --kubeconfig-file: the quote characters are part of the value/,
    },
    {
      cause: 'no name of a node or pod',
      env: { NODE_NAME: '', POD_NAME: '', POD_NAMESPACE: '' },
      says: /^Failed to create SubnetManager: env variables POD_NAME and POD_NAMESPACE must be set/,
    },
    {
      cause: 'a pod that runs nowhere',
      env: { NODE_NAME: '', POD_NAME: 'homeless', POD_NAMESPACE: 'kube-flannel' },
      says: /^Failed to create SubnetManager: node name not present in pod spec 'kube-flannel\/homeless'/,
    },
    {
      cause: 'an invalid annotation prefix',
      flags: ['--kube-annotation-prefix=a/b/c'],
      says: /^Failed to create SubnetManager: error creating network manager: subnet\/kube: prefix can contain at most single slash/,
    },
  ] as { cause: string; env?: NodeJS.ProcessEnv; flags?: string[]; says: RegExp }[]) {
    await t.test(cause, async (t) => {
      const { process } = await start(env, ...flags);
      t.strictSame(await process.exited, { code: 1, signal: null });
      const last = process.stderr.trimEnd().split('\n').at(-1) ?? '';
      t.match(last, /^E\d{4} [0-9:.]+ +\d+ \S+\] /, "the last line is an error in klog's format");
      t.match(last.replace(/^.*?\] /, ''), says);
    });
  }

  await t.test('a pod that Weft may not read', async (t) => {
    api.replay('error-403-list', { applies: ({ path }) => path.includes('/pods/') });
    const { process } = await start({ NODE_NAME: '', POD_NAME: 'weft-x', POD_NAMESPACE: 'kube-flannel' });
    t.strictSame(await process.exited, { code: 1, signal: null });
    t.match(
      process.stderr,
      /\] Failed to create SubnetManager: error retrieving pod spec for 'kube-flannel\/weft-x': the server does not allow access to the requested resource/,
    );
  });

  await t.test('nodes that Weft may not list: it logs that, waits, and runs once it may', async (t) => {
    api.replay('error-403-list', { applies: ({ method }) => method === 'GET', times: 3 });
    const member = await start({ NODE_NAME: 'node1' });
    await member.process.waitFor(
      /failed to list \*v1\.Node: nodes is forbidden: User "nobody" cannot list resource "nodes" in API group "" at the cluster scope/,
    );
    await isReady(member);
    for (const line of [
      'Found network config - Backend type: vxlan',
      'Using interface with name eth0 and address 192.168.77.1',
      'Defaulting external address to interface address (192.168.77.1)',
    ])
      t.ok(member.process.stderr.includes(`] ${line}\n`), line);
    t.strictSame(await member.process.stop(), { code: 0, signal: null });
    t.match(
      member.process.stderr,
      /\] shutdownHandler sent cancel signal\.\.\.\n(.*\n)*.*\] Exiting cleanly\.\.\.\n$/,
    );
  });
});
