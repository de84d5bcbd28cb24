import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { load, loadAll } from 'js-yaml';
import { validate as daemonSet } from 'kubernetes-models/_schemas/IoK8sApiAppsV1DaemonSet';
import { validate as configMap } from 'kubernetes-models/_schemas/IoK8sApiCoreV1ConfigMap';
import { validate as namespace } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Namespace';
import { validate as serviceAccount } from 'kubernetes-models/_schemas/IoK8sApiCoreV1ServiceAccount';
import { validate as clusterRole } from 'kubernetes-models/_schemas/IoK8sApiRbacV1ClusterRole';
import { validate as clusterRoleBinding } from 'kubernetes-models/_schemas/IoK8sApiRbacV1ClusterRoleBinding';
import t from 'tap';
import { runOptions } from '../../src/cli/run-options.js';
import { readNetConf } from '../../src/control/config/net-conf.js';
import { configOf, KUBERNETES, type Manifest, podOf, rendered } from '../support/manifests.js';
import { runFlags } from '../support/run-flags.js';

const OVERLAYS = readdirSync(join(KUBERNETES, 'overlays')).map((name) => `overlays/${name}`);
const WEFT = join(KUBERNETES, 'weft.yaml');

/** The schemas of the API server, compiled to functions. They ignore unknown fields. */
const SCHEMAS: Record<string, ((data: unknown) => boolean) & { errors?: unknown }> = {
  'v1 Namespace': namespace,
  'v1 ServiceAccount': serviceAccount,
  'v1 ConfigMap': configMap,
  'rbac.authorization.k8s.io/v1 ClusterRole': clusterRole,
  'rbac.authorization.k8s.io/v1 ClusterRoleBinding': clusterRoleBinding,
  'apps/v1 DaemonSet': daemonSet,
};

/** Records the paths that are read of a value. */
function watched<T>(value: T, read: Set<string>, path = ''): T {
  if (typeof value !== 'object' || value === null) return value;
  return new Proxy(value, {
    get(target, name) {
      const below = `${path}/${String(name)}`;
      read.add(below);
      return watched(Reflect.get(target, name), read, below);
    },
  });
}

function pathsOf(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, part]) => [
    `${path}/${name}`,
    ...pathsOf(part, `${path}/${name}`),
  ]);
}

/** Checks an object. A field that its schema does not read is unknown. @throws Error */
function validate(manifest: Manifest): void {
  const name = `${manifest.apiVersion} ${manifest.kind}`;
  const schema = SCHEMAS[name];
  if (schema === undefined) throw new Error(`${name}: no schema`);
  const read = new Set<string>();
  if (!schema(watched(manifest, read))) throw new Error(`${name}: ${JSON.stringify(schema.errors)}`);
  const unknown = pathsOf(manifest).filter((path) => !read.has(path));
  if (unknown.length > 0) throw new Error(`${name}: unknown fields: ${unknown.join(', ')}`);
}

t.test('a manifest with a wrong or an unknown field does not validate', async (t) => {
  const edited = (from: string, to: string) => {
    const all = loadAll(readFileSync(WEFT, 'utf8').replace(from, to)) as Manifest[];
    return () => all.forEach(validate);
  };
  t.throws(edited('hostNetwork: true', 'hostNetwork: "yes"'), /hostNetwork/);
  t.throws(edited('mountPath: /run/weft', 'mountPaht: /run/weft'), /mountPath/);
  t.throws(edited('maxUnavailable: 1', 'maxUnavailabel: 1'), /unknown fields: .*maxUnavailabel/);
});

for (const folder of ['base', ...OVERLAYS]) {
  t.test(`deploy/kubernetes/${folder}`, async (t) => {
    const manifests = await rendered(folder);
    const pod = podOf(manifests);
    const containers = [...pod.initContainers, ...pod.containers];

    await t.test("validates against Kubernetes' schemas", async (t) => {
      for (const manifest of manifests) t.doesNotThrow(() => validate(manifest), manifest.kind);
    });

    await t.test('has a volume for each mount, and a mount for each volume', async (t) => {
      const mounted = containers.flatMap(({ volumeMounts }) => volumeMounts.map(({ name }) => name));
      t.strictSame([...new Set(mounted)].sort(), pod.volumes.map(({ name }) => name).sort());
      const conf = containers.flatMap(({ args }) => args).filter((word) => word.startsWith('/etc/kube'));
      t.ok(
        conf.every((path) => path === '/etc/kube-flannel/cni-conf.json'),
        'files of the ConfigMap',
      );
    });

    await t.test('has the image of this version', async (t) => {
      const { version } = JSON.parse(readFileSync(join(KUBERNETES, '../../package.json'), 'utf8'));
      const images = new Set(containers.map(({ image }) => image));
      images.delete('ghcr.io/flannel-io/flannel-cni-plugin:v1.9.1-flannel1');
      t.strictSame([...images], [`weft:${version}`]);
    });

    await t.test('has flags of weft run, and probes that reach its health endpoints', async (t) => {
      const [{ command, args, readinessProbe }] = pod.containers;
      t.strictSame(command, ['/usr/bin/weft', 'run']);
      const { values, given } = runFlags(...args);
      const { health, source, adopt } = runOptions(values, given);
      t.match({ health, source, adopt }, { source: { type: 'kubernetes' }, adopt: true });
      const { host, port } = readinessProbe?.httpGet ?? {};
      t.strictSame(health, { address: host, port });
    });

    await t.test('has network and CNI configuration', async (t) => {
      const config = configOf(manifests);
      if (config === undefined) {
        t.equal(folder, 'overlays/beside-flannel', "flannel's own ConfigMap");
        t.match(pod.volumes, [{}, {}, {}, {}, {}, {}, {}, {}, { configMap: { name: 'kube-flannel-cfg' } }]);
        return;
      }
      const path = join(t.testdir(config), 'net-conf.json');
      t.match(await readNetConf(path), { backend: { type: 'vxlan' } });
      const conflist = readFileSync(join(KUBERNETES, '../cni/10-flannel.conflist'), 'utf8');
      t.strictSame(JSON.parse(config['cni-conf.json'] ?? ''), JSON.parse(conflist));
    });
  });
}

t.test('deploy/kubernetes/weft.yaml is what npm run manifests writes', async (t) => {
  const script = join(KUBERNETES, '../../scripts/manifests.mjs');
  t.doesNotThrow(() =>
    execFileSync(process.execPath, [script, '--check'], { env: { ...process.env, NODE_OPTIONS: '' } }),
  );
  for (const manifest of loadAll(readFileSync(WEFT, 'utf8')) as Manifest[])
    t.doesNotThrow(() => validate(manifest), manifest.kind);
});

t.test('overlays/beside-flannel leaves flannel what is its own', async (t) => {
  const manifests = await rendered('overlays/beside-flannel');
  const names = manifests.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`);
  t.strictSame(names, [
    'ServiceAccount kube-flannel/weft',
    'ClusterRole /weft',
    'ClusterRoleBinding /weft',
    'DaemonSet kube-flannel/weft',
  ]);
  t.match(manifests[2], { subjects: [{ kind: 'ServiceAccount', name: 'weft', namespace: 'kube-flannel' }] });
});

t.test('the patch of overlays/beside-flannel keeps kube-flannel off the nodes of Weft alone', async (t) => {
  const path = join(KUBERNETES, 'overlays/beside-flannel/kube-flannel.patch.yaml');
  const patch = load(readFileSync(path, 'utf8')) as { spec: { template: { spec: { affinity: object } } } };
  const { nodeSelector } = podOf(await rendered('overlays/beside-flannel'));
  t.strictSame(nodeSelector, { 'kubernetes.io/os': 'linux', 'weft.dev/node': 'true' });
  t.strictSame(patch.spec.template.spec.affinity, {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [
          {
            matchExpressions: [
              { key: 'kubernetes.io/os', operator: 'In', values: ['linux'] },
              { key: 'weft.dev/node', operator: 'NotIn', values: ['true'] },
            ],
          },
        ],
      },
    },
  });
});

t.test("overlays/k3s leaves k3s's own CNI plugins as they are", async (t) => {
  const { initContainers, volumes } = podOf(await rendered('overlays/k3s'));
  t.notOk(initContainers.some(({ args }) => args.includes('/flannel')));
  t.notMatch(
    initContainers.map(({ args }) => args.at(-1)),
    [/rancher\/k3s\/data/],
  );
  const paths = volumes.map(({ hostPath }) => hostPath?.path);
  for (const path of [
    '/var/lib/rancher/k3s/data',
    '/var/lib/rancher/k3s/agent/etc/cni/net.d',
    '/etc/cni/net.d',
    '/opt/cni/bin',
  ])
    t.ok(paths.includes(path), path);
});

t.test('components/without-bpf removes the mount of /sys/fs/bpf', async (t) => {
  const dir = t.testdir({});
  const [base, component] = ['base', 'components/without-bpf'].map((path) =>
    relative(dir, join(KUBERNETES, path)),
  );
  writeFileSync(join(dir, 'kustomization.yaml'), `resources: [${base}]\ncomponents: [${component}]\n`);
  const { volumes, containers } = podOf(await rendered(relative(KUBERNETES, dir)));
  const paths = [...volumes.map(({ hostPath }) => hostPath?.path), ...containers[0].volumeMounts];
  t.notMatch(JSON.stringify(paths), /bpf/);
  t.match(JSON.stringify(paths), /\/proc\/sys\/net/);
});

t.test('scripts/kustomize.mjs refuses what it does not know', async (t) => {
  const dir = t.testdir({ 'kustomization.yaml': 'commonLabels: { a: b }\n' });
  await t.rejects(rendered(relative(KUBERNETES, dir)), /does not know the field commonLabels/);
  const patch = 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: none }\n';
  const other = t.testdir({ 'kustomization.yaml': 'patches: [{ path: a.yaml }]\n', 'a.yaml': patch });
  await t.rejects(
    rendered(relative(KUBERNETES, other)),
    /a patch for v1 ConfigMap none, of which there are 0/,
  );
});
