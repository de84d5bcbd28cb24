import t, { type Test } from 'tap';
import { type Datagrams, hasMatchingPolicy, mayMatch } from '../../../../src/control/kernel/xfrm.js';
import { hex } from '../../../support/bytes.js';
import { enterOwnNetwork, run } from '../../../support/own-network.js';

const DATAGRAMS: Datagrams = { own: 0xc0a84d01, peers: [0xc0a84d02, 0xc0a84d03], port: 8472 };

/** Fields of struct xfrm_userpolicy_info, as hexadecimal text. */
interface Policy {
  destination?: string;
  source?: string;
  destinationPort?: string;
  destinationPortMask?: string;
  sourcePort?: string;
  sourcePortMask?: string;
  family?: string;
  destinationLength?: string;
  sourceLength?: string;
  protocol?: string;
  direction?: string;
}

const IN = '00';
const OUT = '01';
const FORWARD = '02';
/** The directions of a policy that a socket has (IP_XFRM_POLICY). */
const SOCKET_IN = '03';

/** Returns the bytes of a policy for all IPv4 packets that this node sends, with these fields. */
function policy(fields: Policy = {}): Buffer {
  const all = {
    destination: '00000000',
    source: '00000000',
    destinationPort: '0000',
    destinationPortMask: '0000',
    sourcePort: '0000',
    sourcePortMask: '0000',
    family: '0200',
    destinationLength: '00',
    sourceLength: '00',
    protocol: '00',
    direction: OUT,
    ...fields,
  };
  const address = (text: string): string => text.padEnd(32, '0');
  return Buffer.from(
    hex(
      [
        address(all.destination),
        address(all.source),
        all.destinationPort,
        all.destinationPortMask,
        all.sourcePort,
        all.sourcePortMask,
        all.family,
        all.destinationLength,
        all.sourceLength,
        all.protocol,
        '000000 00000000 00000000',
        // Lifetimes, priority and index.
        '00'.repeat(96),
        '00000000 01000000',
        all.direction,
        // Action, flags, sharing, padding.
        '00000000000000',
      ].join(''),
    ),
  );
}

function matches(t: Test, rows: Record<string, Policy>, expected: boolean): void {
  for (const [name, fields] of Object.entries(rows))
    t.equal(mayMatch(policy(fields), DATAGRAMS), expected, name);
}

t.test('a policy for all packets of either direction matches', async (t) => {
  t.equal(policy().length, 168);
  matches(t, { in: { direction: IN }, out: { direction: OUT } }, true);
});

t.test('policies for forwarded packets and those of sockets do not match', async (t) => {
  matches(t, { forward: { direction: FORWARD }, socket: { direction: SOCKET_IN } }, false);
});

t.test('a policy of IPv6 does not match; one of any family does', async (t) => {
  matches(t, { ipv6: { family: '0a00' } }, false);
  matches(t, { any: { family: '0000' } }, true);
});

t.test('a policy of UDP or of any protocol matches, others do not', async (t) => {
  matches(t, { udp: { protocol: '11' }, any: { protocol: '00' } }, true);
  matches(t, { tcp: { protocol: '06' }, esp: { protocol: '32' } }, false);
});

t.test(
  'the addresses of an outgoing policy are source and destination of what this node sends',
  async (t) => {
    const out = { direction: OUT, destinationLength: '20', sourceLength: '20' };
    matches(t, { 'own to peer': { ...out, source: 'c0a84d01', destination: 'c0a84d03' } }, true);
    matches(
      t,
      {
        'peer to own': { ...out, source: 'c0a84d03', destination: 'c0a84d01' },
        'own to another host': { ...out, source: 'c0a84d01', destination: 'c0a84d09' },
        'another address to peer': { ...out, source: 'c0a84d09', destination: 'c0a84d03' },
      },
      false,
    );
  },
);

t.test('the addresses of an incoming policy are source and destination of what a peer sends', async (t) => {
  const into = { direction: IN, destinationLength: '20', sourceLength: '20' };
  matches(t, { 'peer to own': { ...into, source: 'c0a84d03', destination: 'c0a84d01' } }, true);
  matches(
    t,
    {
      'own to peer': { ...into, source: 'c0a84d01', destination: 'c0a84d03' },
      'another host to own': { ...into, source: 'c0a84d09', destination: 'c0a84d01' },
    },
    false,
  );
});

t.test('a prefix matches the addresses in it', async (t) => {
  matches(
    t,
    {
      '0.0.0.0/0': { destination: '0a000000', destinationLength: '00' },
      '128.0.0.0/1': { destination: '80000000', destinationLength: '01' },
      '192.168.0.0/16': { destination: 'c0a80000', destinationLength: '10' },
      '192.168.77.2/31': { destination: 'c0a84d02', destinationLength: '1f' },
      'host bits': { destination: 'c0a84dff', destinationLength: '18' },
    },
    true,
  );
  matches(
    t,
    {
      '0.0.0.0/1': { destination: '00000000', destinationLength: '01' },
      '192.169.0.0/16': { destination: 'c0a90000', destinationLength: '10' },
      '192.168.77.0/31': { destination: 'c0a84d00', destinationLength: '1f' },
      '192.168.77.4/32': { destination: 'c0a84d04', destinationLength: '20' },
    },
    false,
  );
});

t.test('a destination port matches through its mask', async (t) => {
  const port = (destinationPort: string, destinationPortMask = 'ffff') => ({
    destinationPort,
    destinationPortMask,
  });
  // 8472 is 0x2118.
  matches(t, { ours: port('2118'), any: port('0000', '0000'), 'a range': port('2100', 'ff00') }, true);
  matches(
    t,
    { another: port('12b5'), 'the other byte order': port('1821'), 'another range': port('2200', 'ff00') },
    false,
  );
});

t.test('a source port may be that of a datagram', async (t) => {
  matches(t, { 'one port': { sourcePort: '8235', sourcePortMask: 'ffff' } }, true);
});

t.test('a policy matches no datagram of a tunnel without peers', async (t) => {
  t.equal(mayMatch(policy(), { ...DATAGRAMS, peers: [] }), false);
});

t.test('an incomplete policy may match', async (t) => {
  t.equal(mayMatch(policy({ protocol: '06' }).subarray(0, 160), DATAGRAMS), true);
});

const NETWORK = enterOwnNetwork();

/** Returns options for a test with policies of the kernel. */
function withPolicies(): { skip: string | false } {
  if (NETWORK.skip !== false) return NETWORK;
  try {
    run('ip xfrm policy list');
    return { skip: false };
  } catch {
    return { skip: 'this kernel has no IPsec policies' };
  }
}

function add(t: Test, line: string): void {
  run(`ip xfrm policy add ${line} priority 1`);
  t.teardown(() => run('ip xfrm policy flush'));
}

const ANY = 'src 0.0.0.0/0 dst 0.0.0.0/0';
const KERNEL: [line: string, matches: boolean][] = [
  [`${ANY} dir out`, true],
  [`${ANY} dir in`, true],
  [`${ANY} dir fwd`, false],
  [`${ANY} proto udp dport 8472 dir out`, true],
  [`${ANY} proto udp dport 4789 dir out`, false],
  [`${ANY} proto tcp dir out`, false],
  ['src 192.168.77.1/32 dst 192.168.77.2/32 dir out action block', true],
  ['src 192.168.77.2/32 dst 192.168.77.1/32 dir out', false],
  ['src 192.168.77.2/32 dst 192.168.77.1/32 dir in', true],
  ['src 192.168.77.0/30 dst 192.168.77.0/24 dir in', true],
  ['src 10.0.0.0/8 dst 192.168.77.1/32 dir in', false],
  ['src ::/0 dst ::/0 dir out', false],
];

for (const [line, expected] of KERNEL) {
  t.test(
    `the kernel’s policy ${line} ${expected ? 'matches' : 'does not match'}`,
    withPolicies(),
    async (t) => {
      add(t, line);
      t.equal(hasMatchingPolicy(DATAGRAMS), expected);
    },
  );
}

t.test('no policy matches where there is none', withPolicies(), async (t) => {
  t.equal(hasMatchingPolicy(DATAGRAMS), false);
});

t.test('the last one of many policies is found', withPolicies(), async (t) => {
  for (let host = 1; host < 150; host++) add(t, `src 10.0.0.${host}/32 dst 10.0.1.0/24 dir out`);
  t.equal(hasMatchingPolicy(DATAGRAMS), false);
  add(t, 'src 192.168.77.1/32 dst 192.168.77.3/32 dir out');
  t.equal(hasMatchingPolicy(DATAGRAMS), true);
});
