import t from 'tap';
import { displacedRoutes } from '../../../../../src/control/backends/vxlan/displaced-routes.js';

const SUBNET = 'fd00:244:2::/64';
const BRIDGE = {
  index: 9,
  name: 'cni0',
  mac: '',
  mtu: 1430,
  up: true,
  assigned: [{ address: (0xfd00_0244n << 96n) + (2n << 80n) + 1n, prefixLength: 64 }],
};
const SNAPSHOT = { links: [BRIDGE], neighbours: [], routes: [] };

t.test('displacedRoutes restores an IPv6 route only once the peer has left', async (t) => {
  const routed = new Set([SUBNET]);
  t.same(displacedRoutes('flannel-v6.1', routed, new Map([[SUBNET, 'via']]), SNAPSHOT), []);
  t.same(displacedRoutes('flannel-v6.1', routed, new Map(), SNAPSHOT), [
    `route add ${SUBNET} dev cni0 proto kernel metric 256`,
  ]);
});

t.test('displacedRoutes restores no route that Weft never replaced', async (t) => {
  t.same(displacedRoutes('flannel-v6.1', new Set(), new Map(), SNAPSHOT), []);
});
