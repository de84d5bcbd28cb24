import t from 'tap';
import { Routes } from '../../../../src/dataplane/tunnel/routes.js';
import { ipv4 } from '../../../support/bytes.js';

const A = ipv4('192.168.77.1');
const B = ipv4('192.168.77.2');
const C = ipv4('192.168.77.3');

function set(routes: Routes, cidr: string, address: number): void {
  const [base = '', prefix = ''] = cidr.split('/');
  routes.set(ipv4(base), Number(prefix), address);
}

t.test('Routes.lookup returns 0 without routes', async (t) => {
  const routes = new Routes();
  t.equal(routes.size, 0);
  t.equal(routes.lookup(ipv4('10.244.1.2')), 0);
  t.equal(routes.lookup(0), 0);
  t.equal(routes.hasPeer(A), false);
});

t.test(
  'Routes.lookup matches the first and the last address of a prefix, and not their neighbours',
  async (t) => {
    const routes = new Routes();
    set(routes, '10.244.2.0/23', A);
    t.equal(routes.lookup(ipv4('10.244.2.0')), A);
    t.equal(routes.lookup(ipv4('10.244.3.255')), A);
    t.equal(routes.lookup(ipv4('10.244.1.255')), 0);
    t.equal(routes.lookup(ipv4('10.244.4.0')), 0);
    t.equal(routes.hasPeer(A), true);
  },
);

t.test('Routes.lookup prefers the longest prefix, for every order of insertion', async (t) => {
  const cidrs: [string, number][] = [
    ['10.244.2.0/24', B],
    ['10.244.0.0/16', A],
    ['10.244.2.128/25', C],
  ];
  for (const order of [cidrs, [...cidrs].reverse()]) {
    const routes = new Routes();
    for (const [cidr, address] of order) set(routes, cidr, address);
    t.equal(routes.lookup(ipv4('10.244.1.1')), A);
    t.equal(routes.lookup(ipv4('10.244.2.1')), B);
    t.equal(routes.lookup(ipv4('10.244.2.200')), C);
    t.equal(routes.size, 3);
  }
});

t.test('Routes supports 0.0.0.0/0 and /32, also with the highest bit set', async (t) => {
  const routes = new Routes();
  set(routes, '0.0.0.0/0', A);
  set(routes, '200.1.2.3/32', B);
  t.equal(routes.lookup(ipv4('200.1.2.3')), B);
  t.equal(routes.lookup(ipv4('200.1.2.2')), A);
  t.equal(routes.lookup(0), A);
  t.equal(routes.lookup(-1), A);
});

t.test('Routes ignores host bits of the base', async (t) => {
  const routes = new Routes();
  set(routes, '10.244.2.77/24', A);
  t.equal(routes.lookup(ipv4('10.244.2.1')), A);
  t.equal(routes.delete(ipv4('10.244.2.99'), 24), true);
  t.equal(routes.lookup(ipv4('10.244.2.1')), 0);
});

t.test('Routes.delete exposes the shorter prefix and removes a route once', async (t) => {
  const routes = new Routes();
  set(routes, '10.244.0.0/16', A);
  set(routes, '10.244.2.0/24', B);
  t.equal(routes.delete(ipv4('10.244.2.0'), 25), false, 'another length');
  t.equal(routes.delete(ipv4('10.244.2.0'), 24), true);
  t.equal(routes.lookup(ipv4('10.244.2.1')), A);
  t.equal(routes.hasPeer(B), false);
  t.equal(routes.delete(ipv4('10.244.2.0'), 24), false);
  t.equal(routes.size, 1);
});

t.test('Routes.set replaces the peer of a route', async (t) => {
  const routes = new Routes();
  set(routes, '10.244.2.0/24', A);
  set(routes, '10.244.2.0/24', B);
  t.equal(routes.lookup(ipv4('10.244.2.1')), B);
  t.equal(routes.hasPeer(A), false);
  t.equal(routes.size, 1);
  routes.delete(ipv4('10.244.2.0'), 24);
  t.equal(routes.lookup(ipv4('10.244.2.1')), 0);
});
