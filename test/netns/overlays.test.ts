/** Each overlay of deploy/kubernetes: its init containers, and the image with its settings, beside a kernel peer. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { READY } from '../../lab/dataplanes/weft.js';
import { rendered } from '../support/manifests.js';
import { runContainer, startContainer, withImage } from './support/container.js';
import { type ContainerSpec, readManifest } from './support/container-spec.js';
import { makeImageBed, reachesKernel } from './support/image-bed.js';

const K3S_PLUGINS = '/var/lib/rancher/k3s/data/current/bin';

/** What the nodes of each kind of cluster have before. */
const CLUSTERS: Record<string, { before(host: string): void; conflists: string[] }> = {
  kubeadm: { before: () => undefined, conflists: ['/etc/cni/net.d/10-flannel.conflist'] },
  'beside-flannel': { before: () => undefined, conflists: ['/etc/cni/net.d/10-flannel.conflist'] },
  k3s: {
    before: (host) => {
      mkdirSync(host + K3S_PLUGINS, { recursive: true });
      for (const name of ['bridge', 'flannel', 'host-local', 'loopback', 'portmap'])
        writeFileSync(`${host}${K3S_PLUGINS}/${name}`, name);
    },
    conflists: [
      '/etc/cni/net.d/10-flannel.conflist',
      '/var/lib/rancher/k3s/agent/etc/cni/net.d/10-flannel.conflist',
    ],
  },
};

/** Returns the manifest of an overlay. Its pod network is that of the lab. */
async function manifestOf(overlay: string) {
  const texts = (await rendered(`overlays/${overlay}`)).map((object) => JSON.stringify(object));
  return readManifest(texts.join('\n---\n').replaceAll('10.42.0.0', '10.244.0.0'));
}

for (const [overlay, { before, conflists }] of Object.entries(CLUSTERS)) {
  t.test(
    `the overlay ${overlay} starts a node that a kernel peer reaches`,
    await withImage(),
    async (t: Test) => {
      const { pod, configMaps: own } = await manifestOf(overlay);
      // Beside flannel the pod mounts the ConfigMap that flannel has.
      const flannel = (await manifestOf('kubeadm')).configMaps['weft-cfg'] ?? {};
      const configMaps = { ...own, 'kube-flannel-cfg': flannel };
      const bed = await makeImageBed(t, `overlay${overlay.slice(0, 4)}`, configMaps);
      const { lab, place } = bed;
      const node = lab.node(1);
      before(place.host);
      const startedAt = performance.now();
      for (const init of pod.initContainers ?? []) {
        // The image of flannel's plugin is of another registry.
        if (!init.image.startsWith('weft')) continue;
        const { code, output } = await runContainer(t, node, pod, init, place);
        t.equal(code, 0, `${init.name}: ${output}`);
      }
      const weft = await startContainer(t, node, pod, pod.containers[0] as ContainerSpec, place);
      await weft.process.waitFor(READY);
      await reachesKernel(t, bed);
      t.comment(`seconds to the first ping: ${((performance.now() - startedAt) / 1000).toFixed(1)}`);
      for (const path of conflists)
        t.match(JSON.parse(readFileSync(place.host + path, 'utf8')), { name: 'cbr0' }, path);
      if (overlay === 'k3s') t.equal(readFileSync(`${place.host}/opt/cni/bin/flannel`, 'utf8'), 'flannel');
      t.notMatch(await weft.exec('/usr/bin/weft', 'status'), /NOT READY|MISSING/);
      await weft.end();
    },
  );
}
