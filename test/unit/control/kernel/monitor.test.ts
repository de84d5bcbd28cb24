import t from 'tap';
import { parseIp } from '../../../../src/control/addresses/ip.js';
import { parseEvent } from '../../../../src/control/kernel/monitor.js';

/** Lines of `ip -oneline monitor label` (iproute2 6.1). */
t.test('parseEvent reads index and name of a link', (t) => {
  t.same(parseEvent('[LINK]3: veth0a1b: <BROADCAST,UP> mtu 1400 qdisc noop state DOWN'), {
    kind: 'link',
    index: 3,
    name: 'veth0a1b',
  });
  t.match(parseEvent('[LINK]12: eth0@if5: <UP> mtu 1500 qdisc noqueue'), { index: 12, name: 'eth0' });
  t.match(parseEvent('[LINK]Deleted 3: flannel.1: <BROADCAST> mtu 1450'), { index: 3, name: 'flannel.1' });
  t.end();
});

t.test('parseEvent reads index and address of an address', (t) => {
  t.same(parseEvent('[ADDR]3: d1    inet 10.9.0.1/24 scope global d1\\       valid_lft forever'), {
    kind: 'address',
    index: 3,
    address: 0x0a090001,
  });
  t.match(parseEvent('[ADDR]Deleted 7: ua    inet 192.168.77.1 peer 192.168.77.2/32 scope global ua'), {
    index: 7,
    address: 0xc0a84d01,
  });
  t.match(parseEvent('[ADDR]2: d0    inet6 fe80::60a5:1eff:fec7:3a3c/64 scope link \\ valid_lft'), {
    index: 2,
    address: parseIp('fe80::60a5:1eff:fec7:3a3c'),
  });
  t.end();
});

t.test('parseEvent reads destination and device of a route', (t) => {
  for (const [line, destination, device] of [
    ['[ROUTE]10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink ', '10.244.2.0/24', 'flannel.1'],
    ['[ROUTE]Deleted 10.244.2.0/24 via 10.244.2.0 dev flannel.1 ', '10.244.2.0/24', 'flannel.1'],
    ['[ROUTE]default via 10.9.0.2 dev d1 ', 'default', 'd1'],
    ['[ROUTE]blackhole 10.244.1.0/24 ', '10.244.1.0/24', undefined],
    ['[ROUTE]blackhole fd08::/64 dev lo metric 1024 pref medium', 'fd08::/64', 'lo'],
    ['[ROUTE]local 10.9.0.1 dev d1 table local proto kernel scope host', '10.9.0.1', 'd1'],
    ['[ROUTE]10.13.0.0/24 \\\tnexthop via 10.9.0.5 dev d1 weight 1', '10.13.0.0/24', 'd1'],
  ] as const) {
    t.same(parseEvent(line), { kind: 'route', destination, device }, line);
  }
  t.end();
});

t.test('parseEvent reads the device of a neighbour', (t) => {
  t.same(parseEvent('[NEIGH]Deleted 10.244.2.0 dev flannel.1 lladdr 02:00:00:00:00:02 PERMANENT '), {
    kind: 'neighbour',
    device: 'flannel.1',
  });
  t.same(parseEvent('[NEIGH]dev d1 lladdr de:2e:3b:1f:d5:ec PERMANENT '), {
    kind: 'neighbour',
    device: 'd1',
  });
  t.end();
});

t.test('parseEvent recognises a rule', (t) => {
  t.same(parseEvent('[RULE]Deleted 32765:\tfrom 10.2.2.2 lookup 100'), { kind: 'rule' });
  t.end();
});

t.test('parseEvent ignores other labels and broken lines', (t) => {
  for (const line of [
    '',
    '[NSID]nsid 0',
    '[LINK]nonsense',
    '[ADDR]3: d1 inet nonsense',
    '[ROUTE]',
    '[NEIGH]10.0.0.1',
  ]) {
    t.equal(parseEvent(line), undefined, line);
  }
  t.end();
});
