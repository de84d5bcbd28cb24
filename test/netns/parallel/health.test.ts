/** The health endpoints of a running Weft, as a kubelet on the node requests them. */

import t from 'tap';
import type { LabNode } from '../../../lab/node.js';
import { makeBed, startWeft } from '../support/bed.js';
import { refused } from '../support/refusal.js';

const PORT = '8081';

async function probe(node: LabNode, path: string): Promise<string> {
  const code = `const answer = await fetch('http://${node.address}:${PORT}${path}');
    console.log(answer.status, await answer.text());`;
  const { stdout } = await node.exec([process.execPath, '--input-type=module', '--eval', code]);
  return stdout.trim();
}

t.test('/healthz and /readyz answer 200 once Weft forwards', async (t) => {
  const lab = await makeBed(t, { name: 'health' });
  const weft = await startWeft(t, lab.node(1), { flags: ['--healthz-port', PORT] });
  t.equal(await probe(lab.node(1), '/healthz'), '200 flanneld is running');
  t.equal(await probe(lab.node(1), '/readyz'), '200 flanneld is ready');
  t.match(weft.process.stderr, /\] Start healthz server on 0\.0\.0\.0:8081\n/);
});

t.test('weft run refuses a health address that it cannot bind', async (t) => {
  const lab = await makeBed(t, { name: 'badhealth', nodes: 1 });
  await refused(t, lab.node(1), {
    flags: ['--healthz-ip', '192.0.2.1', '--healthz-port', PORT],
    line: /Start healthz server error\. listen tcp 192\.0\.2\.1:8081: bind: cannot assign requested address; /,
  });
});
