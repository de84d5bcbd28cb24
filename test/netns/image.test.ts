/** The image on a node whose peer is the kernel's vxlan, started from the manifests by an OCI runtime. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import t, { type Test } from 'tap';
import { READY } from '../../lab/dataplanes/weft.js';
import { exec } from '../../lab/exec.js';
import type { KubeApi } from '../support/kube-api.js';
import { IMAGE, runContainer, startContainer, withImage } from './support/container.js';
import { type ContainerSpec, capabilitiesOf, type PodSpec, readManifest } from './support/container-spec.js';
import { makeImageBed, reachesKernel } from './support/image-bed.js';
import { TOKEN } from './support/kube-cluster.js';

/** dist/test/netns/image.test.js → repository */
const ROOT = new URL('../../../', import.meta.url);
const NETWORK = '10.244.0.0/16';

function manifest(path: string): ReturnType<typeof readManifest> {
  const text = readFileSync(new URL(path, ROOT), 'utf8').replaceAll('"@IMAGE@"', 'weft');
  return readManifest(text);
}

/** Returns a text without its line breaks. */
function unwrapped(text: string): string {
  return text.replace(/\s+/g, ' ');
}

function containerOf(pod: PodSpec): ContainerSpec {
  return pod.containers[0] as ContainerSpec;
}

t.test(
  'the archive has the files that the command of the Dockerfile writes',
  await withImage(),
  async (t) => {
    const [root, archive] = [process.env.WEFT_IMAGE_ROOT, process.env.WEFT_IMAGE_ARCHIVE] as [string, string];
    const dir = '/run/weft-lab/archive';
    await exec(['mkdir', '-p', `${dir}/oci`, `${dir}/root`]);
    t.teardown(() => exec(['rm', '-r', dir]));
    await exec(['tar', '-xf', archive, '-C', `${dir}/oci`]);
    const [manifest] = JSON.parse(readFileSync(`${dir}/oci/manifest.json`, 'utf8'));
    for (const layer of manifest.Layers)
      await exec(['tar', '-xpzf', `${dir}/oci/${layer}`, '-C', `${dir}/root`]);
    const filesOf = async (folder: string) =>
      (await exec(['find', folder, '-mindepth', '1', '-printf', '%P %y %m %l\n'])).stdout
        .trim()
        .split('\n')
        .sort();
    const files = await filesOf(`${dir}/root`);
    t.strictSame(files, await filesOf(root), 'paths, types, modes and targets of links');
    t.equal((await exec(['diff', '-r', '--no-dereference', `${dir}/root`, root])).stdout, '', 'contents');
    const shells = files.filter((line) => /(^|\/)(ba|da|a)?sh /.test(line));
    t.strictSame(shells, [], 'no shell');

    const { config } = JSON.parse(readFileSync(`${dir}/oci/${manifest.Config}`, 'utf8'));
    const stages = readFileSync(new URL('Dockerfile', ROOT), 'utf8').split(/^FROM /m);
    t.match(
      stages.at(-2),
      /^RUN node scripts\/release\/image-tree\.mjs .* \/image$/m,
      'scripts/image.mjs runs it',
    );
    const last = stages.at(-1) ?? '';
    t.match(last, /^scratch\nCOPY --from=build \/image\/ \/\n/);
    t.ok(last.includes(`\nENTRYPOINT ${JSON.stringify(config.Entrypoint)}\n`), 'entry point');
    t.ok(last.includes(`\nENV ${config.Env.join(' ')}\n`), 'variables');
    t.strictSame({ entrypoint: config.Entrypoint, env: config.Env }, IMAGE, 'what the other tests use');
  },
);

t.test(
  "the manifest of the image starts it with the manifest's capabilities:",
  await withImage(),
  async (t) => {
    const { pod, configMaps } = manifest('deploy/kubernetes/weft.yaml');
    const bed = await makeImageBed(t, 'image', configMaps);
    const { lab, place } = bed;
    const node = lab.node(1);
    const container = containerOf(pod);

    await t.test('the init container installs the CNI configuration', async (t) => {
      const install = pod.initContainers?.find(({ image }) => image.startsWith('weft')) as ContainerSpec;
      const { code, output } = await runContainer(t, node, pod, install, place);
      t.equal(code, 0, output);
      const written = readFileSync(`${place.host}/etc/cni/net.d/10-flannel.conflist`, 'utf8');
      t.equal(written, Object.values(configMaps)[0]?.['cni-conf.json']);
    });

    await t.test('pods of a kernel peer and of this node reach each other', async (t) => {
      const weft = await startContainer(t, node, pod, container, place);
      await weft.process.waitFor(READY);
      await reachesKernel(t, bed);
      const status = await weft.exec('/usr/bin/weft', 'status');
      t.match(status, /^ {2}offload +level bpf/m);
      t.match(status, /^ {2}privileges +CAP_NET_ADMIN CAP_PERFMON CAP_BPF, no new privileges$/m);
      t.notMatch(status, /NOT READY|MISSING|FAILED/);
      const doctor = JSON.parse(await weft.exec('/usr/bin/weft', 'doctor', '--json'));
      // Whether a program keeps the clock in time depends on this machine.
      const findings = doctor.findings.filter(({ id }: { id: string }) => id !== 'clock-unsynchronised');
      t.strictSame(findings, [], 'the doctor finds nothing');
      t.match(doctor, { features: { bpffs: true, vxlan: 'loaded' }, level: { name: 'bpf' } });
      // flannel's words about the service account.
      const troubles = weft.process.output.match(/^[WE]\d{4} .*(?<!This might not work\.)$/gm);
      t.equal(troubles, null, 'no warning and no error');
      t.match(
        readFileSync(`${place.host}/run/flannel/subnet.env`, 'utf8'),
        /^FLANNEL_SUBNET=10\.244\.1\.1\/24$/m,
      );
      t.strictSame(await weft.end(), { code: 0, signal: null }, 'SIGTERM ends it in order');
    });
  },
);

t.test('the image with one capability less than the manifest names it:', await withImage(), async (t) => {
  const { pod, configMaps } = manifest('deploy/kubernetes/weft.yaml');
  const { lab, place } = await makeImageBed(t, 'capless', configMaps);
  const node = lab.node(1);
  const container = containerOf(pod);
  const all = capabilitiesOf(container);
  t.strictSame(
    all,
    ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_BPF', 'CAP_PERFMON', 'CAP_SETPCAP'],
    'in the manifest',
  );

  /** Starts it without a capability, and returns log and status once it is ready. */
  const without = async (t: Test, capability: string) => {
    const rest = all.filter((name) => name !== capability);
    const weft = await startContainer(t, node, pod, container, place, rest);
    await weft.process.waitFor(READY);
    const status = await weft.exec('/usr/bin/weft', 'status');
    await weft.end();
    return { log: weft.process.output, status };
  };

  await t.test('CAP_NET_ADMIN', async (t) => {
    const rest = all.filter((name) => name !== 'CAP_NET_ADMIN');
    const { code, output } = await runContainer(t, node, pod, container, place, rest);
    t.equal(code, 1);
    t.match(output, /^E\d{4} .*lacks CAP_NET_ADMIN/m);
  });

  await t.test('CAP_BPF', async (t) => {
    const { status } = await without(t, 'CAP_BPF');
    t.match(unwrapped(status), / offload level gso.*; not bpf: this process lacks CAP_BPF/);
  });

  await t.test('CAP_PERFMON', async (t) => {
    const { status } = await without(t, 'CAP_PERFMON');
    t.match(unwrapped(status), / offload level gso.*; not bpf: this process lacks CAP_PERFMON/);
  });

  await t.test('CAP_SETPCAP', async (t) => {
    const { log, status } = await without(t, 'CAP_SETPCAP');
    t.match(unwrapped(status), / privileges .* FAILED: .*CAP_SETPCAP is missing/);
    t.match(log, /^W\d{4} .*CAP_SETPCAP/m);
  });

  await t.test('CAP_NET_RAW, where kubelet uses legacy iptables', async (t) => {
    await node.exec(['iptables-legacy', '-t', 'mangle', '-N', 'KUBE-IPTABLES-HINT']);
    const { log, status } = await without(t, 'CAP_NET_RAW');
    t.match(unwrapped(status), / - Weft cannot read the rules of iptables-legacy .*lacks CAP_NET_RAW /);
    t.match(log, /^W\d{4} .*lacks CAP_NET_RAW/m);
  });
});

t.test('the image uses the iptables of kubelet:', await withImage(), async (t) => {
  const { pod, configMaps } = manifest('deploy/kubernetes/weft.yaml');
  const { lab, place } = await makeImageBed(t, 'imagerules', configMaps);
  const node = lab.node(1);
  for (const [backEnd, other] of [
    ['legacy', 'nft'],
    ['nft', 'legacy'],
  ] as const) {
    await t.test(backEnd, async (t) => {
      await node.exec([`iptables-${backEnd}`, '-t', 'mangle', '-N', 'KUBE-IPTABLES-HINT']);
      const weft = await startContainer(t, node, pod, containerOf(pod), place);
      await weft.process.waitFor(READY);
      const rules = (name: string) => node.exec([`iptables-${name}`, '-t', 'nat', '--list-rules']);
      t.match((await rules(backEnd)).stdout, /^-N FLANNEL-POSTRTG$/m);
      t.notMatch((await rules(other)).stdout, /FLANNEL/);
      await weft.end();
      await node.exec([`iptables-${backEnd}`, '-t', 'mangle', '-X', 'KUBE-IPTABLES-HINT']);
    });
  }
});

t.test(
  "flannel's manifest of a static pod starts the image after a change of the image:",
  await withImage(),
  async (t) => {
    const { pod } = manifest('test/fixtures/manifests/flannel-static-pod.yaml');
    const configMaps = {
      'kube-flannel-cfg': {
        'cni-conf.json': '{"name":"cbr0"}\n',
        'net-conf.json': JSON.stringify({ Network: NETWORK, Backend: { Type: 'vxlan' } }),
      },
    };
    const bed = await makeImageBed(t, 'staticpod', configMaps);
    const { lab, api } = bed;
    const node = lab.node(1);
    // Such a pod has a kubeconfig file of the administrator, and finds its node by its own name.
    const { env: _, serviceAccount: __, ...place } = bed.place;
    api.pods.set('kube-system/weft-1', node.name);
    writeKubeconfig(`${place.host}/var/lib/kubernetes/admin.kubeconfig`, api);

    await t.test('the init container copies the CNI configuration', async (t) => {
      const [install] = pod.initContainers as [ContainerSpec];
      const { code, output } = await runContainer(t, node, pod, install, place);
      t.equal(code, 0, output);
      t.equal(readFileSync(`${place.host}/etc/cni/net.d/10-flannel.conflist`, 'utf8'), '{"name":"cbr0"}\n');
    });

    await t.test('pods of a kernel peer and of this node reach each other', async (t) => {
      const weft = await startContainer(t, node, pod, containerOf(pod), place);
      await weft.process.waitFor(READY);
      await reachesKernel(t, bed);
      t.notMatch(weft.process.output, /^E\d{4} /m, 'no error');
      const status = await weft.exec('/usr/bin/weft', 'status');
      t.match(status, /^ {2}leases +Kubernetes/m);
      const rules = (await node.exec(['iptables', '-t', 'nat', '--list-rules'])).stdout;
      t.match(rules, /^-A FLANNEL-POSTRTG .*-j MASQUERADE/m, '--ip-masq');
      await weft.end();
    });
  },
);

function writeKubeconfig(path: string, { url, ca }: KubeApi): void {
  const cluster = { server: url, 'certificate-authority-data': Buffer.from(ca).toString('base64') };
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(
    path,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'admin',
      contexts: [{ name: 'admin', context: { cluster: 'kubernetes', user: 'admin' } }],
      clusters: [{ name: 'kubernetes', cluster }],
      users: [{ name: 'admin', user: { token: TOKEN } }],
    }),
  );
}
