import t from 'tap';
import { devicesByChain, parseNftTable } from '../../../../../src/control/obstacles/filter/nft-rules.js';
import type { Packet } from '../../../../../src/control/obstacles/filter/packet.js';
import { walk } from '../../../../../src/control/obstacles/filter/walk.js';
import { ip } from '../../../../support/addresses.js';

const PACKET: Packet = {
  family: 'ipv4',
  iif: 'eth0',
  oif: '',
  source: ip('192.168.77.2'),
  destination: ip('192.168.77.1'),
  protocol: 'udp',
  sourcePort: 50_321,
  destinationPort: 8472,
};

const meta = (key: string) => ({ meta: { key } });
const payload = (protocol: string, field: string) => ({ payload: { protocol, field } });
const ct = (key: string) => ({ ct: { key } });
const net = (addr: string, len: number) => ({ prefix: { addr, len } });

/** Returns what happens to the packet in a chain that accepts it by one match and then drops everything. */
function fateOf(left: object, right: unknown): string {
  const chain = { family: 'inet', table: 'x', name: 'f' };
  const rule = (handle: number, ...expr: object[]) => ({ rule: { ...chain, chain: 'f', handle, expr } });
  const nftables = [
    { chain },
    rule(2, { match: { op: '==', left, right } }, { accept: null }),
    rule(3, { drop: null }),
  ];
  return walk(parseNftTable(JSON.stringify({ nftables })), 'f', PACKET).name;
}

t.test('a match on a named set, or one that Weft does not know, is not certain', async (t) => {
  for (const [left, right] of [
    [meta('iifname'), '@trusted'],
    [meta('iif'), '@trusted'],
    [meta('l4proto'), '@protocols'],
    [meta('protocol'), '@types'],
    [meta('nfproto'), '@families'],
    [ct('state'), '@states'],
    [payload('ip', 'saddr'), '@peers'],
    [payload('ip', 'protocol'), '@protocols'],
    [payload('udp', 'dport'), '@ports'],
    [payload('th', 'dport'), '@ports'],
    [payload('ether', 'saddr'), '02:00:00:00:00:02'],
    [payload('vlan', 'id'), 3],
    [meta('iifname'), { set: ['eth7', '@trusted'] }],
    [meta('l4proto'), { range: [1, 20] }],
    [{ concat: [payload('ip', 'saddr'), payload('udp', 'dport')] }, { set: [{ concat: ['10.0.0.1', 80] }] }],
    [payload('ip', 'saddr'), { set: [] }],
  ] as const) {
    t.equal(fateOf(left, right), 'unknown', JSON.stringify([left, right]));
  }
});

t.test('a set in a rule matches by its elements', async (t) => {
  const source = payload('ip', 'saddr');
  const range = { range: ['192.168.77.1', '192.168.77.9'] };
  for (const [left, right, fate] of [
    [meta('iifname'), { set: ['lo', 'eth*'] }, 'accept'],
    [meta('iifname'), { set: ['lo', 'eth1'] }, 'drop'],
    [meta('l4proto'), { set: ['tcp', 'udp'] }, 'accept'],
    [meta('l4proto'), { set: ['icmp', 'esp'] }, 'drop'],
    [source, { set: [net('10.0.0.0', 8), net('192.168.0.0', 16)] }, 'accept'],
    [source, { set: [net('10.0.0.0', 8), '192.168.77.3'] }, 'drop'],
    [source, { set: ['10.0.0.1', range] }, 'accept'],
    [payload('ip', 'daddr'), { range: ['192.168.77.2', '192.168.77.9'] }, 'drop'],
    [source, { set: [{ elem: { val: '192.168.77.2', timeout: 60 } }] }, 'accept'],
    [payload('udp', 'dport'), { set: [53, { range: [8000, 9000] }] }, 'accept'],
    [payload('udp', 'dport'), { set: [53, { range: [9000, 9999] }] }, 'drop'],
    [payload('tcp', 'dport'), '@ports', 'drop'],
    [payload('ip6', 'saddr'), '@peers', 'drop'],
    [ct('state'), { '|': ['established', 'related'] }, 'drop'],
    [ct('state'), { '|': ['established', 'new'] }, 'accept'],
  ] as const) {
    t.equal(fateOf(left, right), fate, JSON.stringify([left, right]));
  }
});

t.test('devicesByChain reads one interface and several', async (t) => {
  const text = `table inet f {
	chain forward {
		type filter hook forward priority filter; policy drop;
	}
}
table netdev d {
	chain i {
		type filter hook ingress devices = { e1, e2.7 } priority filter; policy accept;
	}
	chain j {
		type filter hook ingress device "e1" priority filter; policy accept;
	}
}
`;
  t.strictSame(
    [...devicesByChain(text)],
    [
      ['netdev d i', ['e1', 'e2.7']],
      ['netdev d j', ['e1']],
    ],
  );
});
