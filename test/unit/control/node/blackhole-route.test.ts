import t from 'tap';
import { Journal, readJournal } from '../../../../src/control/journal.js';
import type { Route } from '../../../../src/control/kernel/snapshot.js';
import { BlackholeRoute } from '../../../../src/control/node/blackhole-route.js';
import { cidr } from '../../../support/addresses.js';
import { FakeIp } from '../../../support/fake-ip.js';

const IPV4 = cidr('10.244.1.0/24');
const IPV6 = cidr('fd00:244:1::/64');

function routeOn(dst: string, dev: string, type?: string): Route {
  return { ...(type && { type }), dst, dev, protocol: 'kernel' };
}

t.test('BlackholeRoute.add records the routes of both families in one journal', async (t) => {
  const ip = FakeIp.install(t);
  const runDir = t.testdir({});
  const journal = new Journal(runDir, '/run/flannel/subnet.env');
  t.equal(await new BlackholeRoute(journal, 'flannel.1').add(IPV4), true);
  t.equal(await new BlackholeRoute(journal, 'flannel-v6.1').add(IPV6), true);
  const routes = ['blackhole 10.244.1.0/24', 'blackhole fd00:244:1::/64 dev lo'];
  t.same((await readJournal(runDir))?.routes, routes);
  t.same(
    ip.taken(),
    routes.map((route) => `route add ${route}`),
  );
});

t.test('BlackholeRoute.repair accepts the route of a bridge over IPv4, but not over IPv6', async (t) => {
  const ip = FakeIp.install(t);
  const journal = new Journal(t.testdir({}), '/run/flannel/subnet.env');
  const ipv4 = new BlackholeRoute(journal, 'flannel.1');
  const ipv6 = new BlackholeRoute(journal, 'flannel-v6.1');
  t.equal(await ipv4.repair(IPV4, [routeOn('10.244.1.0/24', 'cni0')]), false);
  t.equal(await ipv6.repair(IPV6, [routeOn('fd00:244:1::/64', 'lo', 'blackhole')]), false);
  t.same(ip.taken(), []);
  t.equal(await ipv6.repair(IPV6, [routeOn('fd00:244:1::/64', 'cni0')]), true);
  t.same(ip.taken(), ['route add blackhole fd00:244:1::/64 dev lo']);
});

t.test('BlackholeRoute.add returns false if the kernel has an equal route', async (t) => {
  const ip = FakeIp.install(t);
  ip.fail('route add blackhole 10.244.1.0/24', 'File exists');
  const journal = new Journal(t.testdir({}), '/run/flannel/subnet.env');
  t.equal(await new BlackholeRoute(journal, 'flannel.1').add(IPV4), false);
});
