// Writes deploy/kubernetes/weft.yaml, for clusters without kustomize: the overlay kubeadm in one file.
//
// Use: npm run manifests               writes the file
//      npm run manifests -- --check    fails if the file is not current

import { readFileSync, writeFileSync } from 'node:fs';
import { dump } from 'js-yaml';
import { render } from './kustomize.mjs';
import { main, ROOT, SetupError } from './run.mjs';

const FILE = 'deploy/kubernetes/weft.yaml';
const OVERLAY = 'deploy/kubernetes/overlays/kubeadm';

await main(() => {
  const documents = render(`${ROOT}${OVERLAY}`).map((object) =>
    dump(object, { lineWidth: -1, noRefs: true, quotingType: '"' }),
  );
  const text = `# Written by npm run manifests from ${OVERLAY}: kubectl apply -f ${FILE}
# The Network in net-conf.json is the --pod-network-cidr of the cluster.
${documents.map((document) => `---\n${document}`).join('')}`;
  if (!process.argv.includes('--check')) writeFileSync(`${ROOT}${FILE}`, text);
  else if (readFileSync(`${ROOT}${FILE}`, 'utf8') !== text)
    throw new SetupError(`${FILE} is not current: run npm run manifests`);
});
