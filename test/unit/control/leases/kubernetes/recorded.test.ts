/** Recorded answers of a real API server. */

import t from 'tap';
import { until } from '../../../../../lab/until.js';
import type { SeenRequest } from '../../../../support/kube-api.js';
import { exchange } from '../../../../support/kube-exchanges.js';
import { peerNode } from '../../../../support/kube-nodes.js';
import { harness, recordWaits } from '../../../../support/kube-source.js';
import { mentions, refusal } from '../../../../support/user-error.js';

const isList = ({ method, path }: SeenRequest): boolean =>
  method === 'GET' && /nodes\?(?!.*watch=)/.test(path);
const isWatch = ({ path }: SeenRequest): boolean => path.includes('watch=');
const isPatch = ({ method }: SeenRequest): boolean => method === 'PATCH';

t.test('NodeReflector retries a refused list and logs the reason once', async (t) => {
  for (const [name, reason] of [
    [
      'error-401',
      'failed to list *v1.Node: Unauthorized; the API server does not accept the credentials in --kubeconfig-file ',
    ],
    ['error-403-list', 'failed to list *v1.Node: nodes is forbidden: User "nobody" cannot list resource'],
    ['error-403-anonymous', 'failed to list *v1.Node: nodes is forbidden: User "system:anonymous"'],
    ['error-504-future-rv-list', 'Too large resource version'],
  ] as const) {
    await t.test(name, async (t) => {
      const waits = recordWaits(t);
      const b = await harness(t);
      b.api.replay(name, { applies: isList, times: name === 'error-504-future-rv-list' ? 1 : 3 });
      const opened = b.open();
      mentions(t, await b.logged('waiting for the Kubernetes API server'), reason);
      await opened;
      t.equal(b.lines.filter((line) => line.includes('waiting for')).length, 1, 'logged once');
      await b.logged('the Kubernetes API server answers again');
      if (name === 'error-504-future-rv-list') {
        t.ok((waits[0] as number) >= 1000, 'Retry-After is honoured');
      }
    });
  }
});

t.test('NodeReflector restarts a list whose pages were compacted', async (t) => {
  for (const name of ['error-410-list-continue', 'error-410-list-exact']) {
    const b = await harness(t);
    b.api.put(peerNode(1));
    b.api.put(peerNode(2));
    b.api.replay('list-before-compact-page1', { applies: isList });
    b.api.replay(name, { applies: (request) => isList(request) && request.path.includes('continue=') });
    await b.open();
    t.same((await b.acquire()).ipv4?.peers.length, 2, name);
  }
});

t.test('NodeReflector reads recorded lists', async (t) => {
  for (const [pages, nodes] of [
    [['nodes-list'], ['node-1', 'node-2', 'node-3']],
    [['nodes-list-rv0'], ['node-1', 'node-2', 'node-3']],
    [
      ['nodes-list-limit2-page1', 'nodes-list-limit2-page2'],
      ['node-1', 'node-2', 'node-3'],
    ],
    [['nodes-list-fieldselector'], ['node-2']],
    [['nodes-list-empty'], []],
  ] as const) {
    const b = await harness(t, { env: { NODE_NAME: 'node-2' } });
    for (const page of pages) b.api.replay(page, { applies: isList });
    b.api.replay('watch-future-rv-empty', { applies: isWatch, times: 1000 });
    await b.open();
    const preview = b.source.preview(b.request, new AbortController().signal);
    if (nodes.length === 0) mentions(t, await refusal(t, () => preview), 'node "node-2" not found');
    else t.equal((await preview).ipv4?.own.subnet.base, 0x0af40200);
  }
});

t.test('NodeReflector resumes recorded watches after any end', async (t) => {
  for (const [name, cut, peers] of [
    ['watch-events', false, []],
    ['watch-one-node', true, []],
    ['watch-no-rv', true, ['10.244.1.0/24 at 192.0.2.11', '10.244.2.0/24 at 192.0.2.12']],
    ['watch-initial-events', false, ['10.244.1.0/24 at 192.0.2.11', '10.244.2.0/24 at 192.0.2.12']],
    ['watch-cut-by-shutdown', true, ['10.244.2.0/24 at 192.0.2.12']],
  ] as const) {
    await t.test(name, async (t) => {
      const b = await harness(t);
      b.api.replay(name, { applies: isWatch, cut });
      await b.start();
      const last = exchange(name).body.trim().split('\n').at(-1) as string;
      const { resourceVersion } = (JSON.parse(last) as { object: { metadata: { resourceVersion: string } } })
        .object.metadata;
      const watches = await until('a second watch', () => {
        const all = b.api.requests.filter(isWatch);
        return all.length > 1 && all;
      });
      mentions(t, (watches[1] as SeenRequest).path, `resourceVersion=${resourceVersion}`);
      b.api.put(peerNode(9));
      await until('a set with the new node', () => b.sets.at(-1)?.includes('10.100.9.0/24 at 172.16.0.9'));
      for (const peer of peers) t.ok(b.sets.at(-1)?.includes(peer), peer);
    });
  }
});

t.test('NodeReflector lists again when a watch gets 410, as status or as event', async (t) => {
  for (const name of [
    'error-410-watch-after-restart',
    'error-410-watch-compacted',
    'error-410-watch-rv1-after-restart',
  ]) {
    const b = await harness(t);
    b.api.replay(name, { applies: isWatch, times: 3 });
    await b.start();
    t.equal(b.api.requests.filter(isList).length, 4, name);
    t.equal(b.source.notReady, null);
  }
});

t.test('NodeReflector names the missing rule when a watch is refused', async (t) => {
  const b = await harness(t);
  b.api.replay('error-403-watch', { applies: isWatch, times: 2 });
  await b.start();
  mentions(
    t,
    await b.logged('failed to watch *v1.Node: nodes is forbidden: '),
    'the ClusterRole must grant watch on nodes',
  );
  await b.logged('the Kubernetes API server answers again');
});

t.test('acquire retries a refused patch and fails with the reason when the time is up', async (t) => {
  for (const [name, reason] of [
    [
      'error-400-patch-body',
      'unexpected end of JSON input; check that this is the address of a Kubernetes API server',
    ],
    ['error-403-patch-node', 'the ClusterRole must grant patch on nodes/status'],
    ['error-404-patch-status', 'nodes "no-such-node" not found; NODE_NAME must be'],
    ['error-409-patch-resourceversion', 'another client changed the node'],
    ['error-415-patch-type', 'check that this is the address of a Kubernetes API server'],
    ['error-422-annotation-key', 'check --kube-annotation-prefix'],
    ['error-422-patch-annotation-not-string', 'unrecognized type: string'],
    ['error-422-podcidr-change', 'node updates may not change podCIDR'],
  ] as const) {
    await t.test(name, async (t) => {
      const b = await harness(t, { timing: { acquireMs: 500 } });
      await b.open();
      b.api.replay(name, { applies: isPatch, times: 1000 });
      const message = await refusal(t, () => b.acquire());
      const words =
        'Error registering network: failed to acquire lease: timeout contacting kube-api, failed to patch node "me". Error: ';
      mentions(t, message, words, reason);
      t.ok(b.api.requests.filter(isPatch).length > 1);
      b.api.stopReplays();
      await b.acquire();
    });
  }
});

t.test('Publisher clears the condition with the recorded bytes', async (t) => {
  const b = await harness(t);
  await b.start();
  b.source.markReady();
  const sent = await until('the patch', () => b.api.requests.find(({ body }) => body.includes('conditions')));
  t.match(sent.path, /\/nodes\/me\/status$/);
  for (const name of ['patch-condition-networkunavailable', 'patch-node4-cond']) {
    const times = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g;
    t.equal(sent.body.replaceAll(times, 'T'), exchange(name).request.body?.replaceAll(times, 'T'), name);
    t.equal(sent.contentType, exchange(name).request.contentType);
  }
});
