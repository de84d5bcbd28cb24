import t from 'tap';
import { Dataplane, DataplaneGone, type DataplaneOptions } from '../../../src/dataplane/dataplane.js';
import { ipv4, ipv6 } from '../../support/bytes.js';

const VXLAN = { type: 'vxlan', vni: 1, peerCheck: 'strict', learning: false } as const;

function options(tunnel: DataplaneOptions['tunnel']): DataplaneOptions {
  return {
    device: 'weft-test',
    origin: 'create',
    address: ipv6('::1'),
    port: 8472,
    workers: 1,
    offload: 'auto',
    gsoRuns: 'auto',
    busyPoll: 0,
    podMtu: 1430,
    tunnel,
  };
}

t.test('Dataplane refuses learning and the udp tunnel over IPv6 before it opens anything', async (t) => {
  t.throws(
    () => new Dataplane(options({ ...VXLAN, learning: true })),
    RangeError('learning needs an IPv4 underlay'),
  );
  const udp = { type: 'udp', address: ipv4('10.244.1.0'), peerCheck: 'strict' } as const;
  t.throws(() => new Dataplane(options(udp)), RangeError('the udp tunnel needs an IPv4 underlay'));
});

t.test('Dataplane without threads rejects the request for the packets of peers', async (t) => {
  const stopped = Object.create(Dataplane.prototype) as Dataplane;
  await t.rejects(stopped.peers(), new DataplaneGone());
  await t.rejects(stopped.refusedSources(), new DataplaneGone());
});

t.test('Dataplane that is stopped, as while the device is rebuilt, has no device to keep', async (t) => {
  const stopped = Object.assign(Object.create(Dataplane.prototype), { device: { fds: [] } }) as Dataplane;
  t.doesNotThrow(() => stopped.keepDevice());
});
