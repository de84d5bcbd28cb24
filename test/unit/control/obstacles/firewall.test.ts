import t, { type Test } from 'tap';
import { Firewall } from '../../../../src/control/firewall/firewall.js';
import { Iptables } from '../../../../src/control/firewall/iptables.js';
import type { FirewallOptions } from '../../../../src/control/firewall/rules.js';
import { nodeChecks } from '../../../../src/control/obstacles/checks.js';
import { firewallCheck, type UsedFirewall } from '../../../../src/control/obstacles/firewall.js';
import type { FamilyFacts } from '../../../../src/control/obstacles/obstacle.js';
import { cidr, ip } from '../../../support/addresses.js';
import { fakeCommands } from '../../../support/fake-commands.js';
import { CALICO, DOCKER, firewalld, KUBE_PROXY, serverFilter, ufw } from '../../../support/rulesets.js';

const OPTIONS: FirewallOptions = {
  mode: 'iptables',
  families: ['ipv4'],
  ipMasq: true,
  forwardRules: true,
  fullyRandom: true,
  resyncSeconds: 5,
};
const USED: UsedFirewall = { options: OPTIONS, choices: new Map() };
const FACTS: FamilyFacts = {
  family: 'ipv4',
  device: 'flannel.1',
  underlay: 'eth0',
  address: ip('192.168.77.1'),
  port: 8472,
  network: cidr('10.244.0.0/16'),
  subnet: cidr('10.244.1.0/24'),
  peers: [
    { subnet: cidr('10.244.2.0/24'), publicIp: ip('192.168.77.2'), vtepMac: '02:00:00:00:00:02' },
    { subnet: cidr('10.244.3.0/24'), publicIp: ip('192.168.78.3'), vtepMac: '02:00:00:00:00:03' },
  ],
};
const PLAIN = '-P INPUT ACCEPT\n-P FORWARD ACCEPT';

interface Machine {
  rules?: string;
  nft?: { chains: object[]; table: object[] };
}

/** Returns the messages of the check on a machine with these rules. */
async function messages(
  t: Test,
  { rules = PLAIN, nft }: Machine,
  options: Partial<FirewallOptions> = {},
  facts: Partial<FamilyFacts> = {},
): Promise<string[]> {
  const base = (name: string) => ({
    family: 'ip',
    table: 'filter',
    name,
    type: 'filter',
    hook: name.toLowerCase(),
  });
  const own = ['FORWARD', 'INPUT', 'OUTPUT'].map((name) => ({ chain: base(name) }));
  const json = (objects: readonly object[] = []) => JSON.stringify({ nftables: objects });
  fakeCommands(t, {
    iptables: `[ "$1" = --version ] && echo "iptables v1.8.9 (nf_tables)" && exit; printf '%s\\n' '${rules}'`,
    nft: `case "$*" in *chains) echo '${json([...own, ...(nft?.chains ?? [])])}' ;; *) echo '${json(nft?.table)}' ;; esac`,
  });
  const obstacles = await firewallCheck({ options: { ...OPTIONS, ...options }, choices: new Map() })({
    ...FACTS,
    ...facts,
  });
  return obstacles.map(({ message }) => message);
}

t.test('firewallCheck reports nothing about rules that pods can pass', async (t) => {
  const opened = '-A ufw-user-input -p udp -m udp --dport 8472 -j ACCEPT';
  for (const [name, rules] of Object.entries({
    PLAIN,
    KUBE_PROXY,
    DOCKER,
    CALICO,
    ufw: ufw({ input: opened }),
    'ufw by network': ufw({ input: '-A ufw-user-input -s 192.168.0.0/16 -j ACCEPT' }),
    'a port range': ufw({ input: '-A ufw-user-input -p udp -m multiport --dports 53,8400:8500 -j ACCEPT' }),
    'a set of addresses': ufw({ input: '-A ufw-user-input -m set --match-set peers src -j ACCEPT' }),
  })) {
    t.strictSame(await messages(t, { rules }), [], name);
  }
});

t.test('firewallCheck reports a rule before the jump of Weft, and how to accept pods first', async (t) => {
  const reject = '-A FORWARD -j REJECT --reject-with icmp-host-prohibited';
  const jump = '-N FLANNEL-FWD\n-A FLANNEL-FWD -s 10.244.0.0/16 -j ACCEPT';
  const [found, ...others] = await messages(t, {
    rules: `${PLAIN}\n${jump}\n${reject}\n-A FORWARD -j FLANNEL-FWD`,
  });
  t.strictSame(others, []);
  t.equal(
    found,
    `iptables: chain FORWARD drops pod traffic of 10.244.0.0/16 (rule ${reject}) before Weft's rules accept it; accept it first: iptables -I FORWARD -s 10.244.0.0/16 -j ACCEPT; iptables -I FORWARD -d 10.244.0.0/16 -j ACCEPT`,
  );
  t.strictSame(await messages(t, { rules: `${PLAIN}\n${jump}\n-A FORWARD -j FLANNEL-FWD\n${reject}` }), []);
});

t.test('firewallCheck follows jumps: ufw that rejects forwarded packets', async (t) => {
  const rules = ufw({
    forward: '-A ufw-reject-forward -j REJECT',
    input: '-A ufw-user-input -i eth0 -j ACCEPT',
  });
  t.match(await messages(t, { rules }), [/chain FORWARD .*rule -A ufw-reject-forward -j REJECT\)/]);
});

t.test('firewallCheck reports a DROP policy only where no rule of Weft accepts', async (t) => {
  const policy = [/^iptables: chain FORWARD drops pod traffic of 10\.244\.0\.0\/16 \(its policy is DROP\);/];
  t.strictSame(await messages(t, { rules: DOCKER }), []);
  t.match(await messages(t, { rules: DOCKER }, { mode: 'nftables' }), policy);
  t.match(await messages(t, { rules: DOCKER }, { forwardRules: false }), policy);
});

t.test('firewallCheck reports what keeps datagrams of the tunnel from leaving', async (t) => {
  const rule = '-A OUTPUT -p udp -m udp --dport 8472 -j DROP';
  const fix = 'iptables -I OUTPUT -o eth0 -p udp --dport 8472 -j ACCEPT';
  t.strictSame(await messages(t, { rules: `${PLAIN}\n-P OUTPUT ACCEPT\n${rule}` }), [
    `iptables: chain OUTPUT drops the datagrams to UDP port 8472 of peers on eth0 (rule ${rule}); open the port: ${fix}`,
  ]);
  t.match(await messages(t, { rules: `${PLAIN}\n-P OUTPUT DROP` }), [/chain OUTPUT .*its policy is DROP/]);
  const opened = '-A OUTPUT -d 192.168.0.0/16 -o eth0 -p udp -j ACCEPT';
  t.strictSame(await messages(t, { rules: `${PLAIN}\n-P OUTPUT DROP\n${opened}` }), []);
  const received = '-A OUTPUT -i eth0 -j DROP';
  t.strictSame(await messages(t, { rules: `${PLAIN}\n${received}` }), [], 'no packet arrives there');
  for (const hook of ['output', 'postrouting', 'egress']) {
    const family = hook === 'egress' ? 'netdev' : 'inet';
    const chain = { family, table: 'f', name: 'o', type: 'filter', hook, policy: 'drop', dev: 'eth0' };
    const nft = { chains: [{ chain }], table: [{ chain }] };
    t.match(await messages(t, { nft }), [
      new RegExp(`hook ${hook}\\) drops the datagrams to UDP port 8472 of peers`),
    ]);
  }
});

t.test('firewallCheck reports a closed port unless every peer may send to it', async (t) => {
  const closed = [
    /^iptables: chain INPUT drops the datagrams of peers to UDP port 8472 on eth0 .*-p udp --dport 8472 -j ACCEPT$/,
  ];
  t.match(await messages(t, { rules: ufw({}) }), closed);
  const onePeer = ufw({ input: '-A ufw-user-input -s 192.168.77.0/24 -j ACCEPT' });
  t.match(await messages(t, { rules: onePeer }), closed);
  t.strictSame(await messages(t, { rules: onePeer }, {}, { peers: [] }), [], 'unknown peers may be accepted');
  const final = '-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j REJECT';
  t.match(await messages(t, { rules: final }), [/rule -A INPUT -j REJECT/]);
});

t.test("firewallCheck reports firewalld's final reject unless the pod network is trusted", async (t) => {
  t.match(await messages(t, { nft: firewalld({ port: 8472 }) }), [
    /^nftables: chain filter_FORWARD of table inet firewalld \(hook forward\) .*rule handle 6: reject.*firewall-cmd .*--add-source=10\.244\.0\.0\/16/,
  ]);
  t.match(await messages(t, { nft: firewalld({ trusted: '10.244.0.0/16' }) }), [
    /filter_INPUT .*UDP port 8472/,
  ]);
  t.strictSame(await messages(t, { nft: firewalld({ trusted: '10.244.0.0/16', port: 8472 }) }), []);
});

t.test('firewallCheck reports a base chain of nft whose policy is to drop', async (t) => {
  const port = { payload: { protocol: 'udp', field: 'dport' } };
  const open = [{ match: { op: '==', left: port, right: { set: [4789, 8472] } } }, { accept: null }];
  t.match(await messages(t, { nft: serverFilter(open) }), [
    /chain forward of table inet filter .*policy is DROP.*nft insert rule inet filter forward ip saddr 10\.244\.0\.0\/16 accept/,
  ]);
  const other = [{ match: { op: '==', left: port, right: 4789 } }, { accept: null }];
  t.match(await messages(t, { nft: serverFilter(other) }, {}, { peers: [] }), [
    /chain input of table inet filter/,
    /chain forward/,
  ]);
});

t.test('firewallCheck reports an ingress chain only on the underlay', async (t) => {
  const chain = { family: 'netdev', table: 'd', name: 'i' };
  const table = [{ chain }, { rule: { ...chain, chain: 'i', handle: 2, expr: [{ drop: null }] } }];
  const ingress = { ...chain, type: 'filter', hook: 'ingress' };
  const on = (dev: string | string[]) => ({ chains: [{ chain: { ...ingress, dev } }], table });
  const found = [/^nftables: chain i of table netdev d \(hook ingress\) drops the datagrams/];
  t.match(await messages(t, { nft: on('eth0') }), found);
  t.match(await messages(t, { nft: on(['eth1', 'eth0']) }), found);
  t.strictSame(await messages(t, { nft: on(['eth1', 'eth2']) }), []);
});

t.test('firewallCheck finds the interface of an ingress chain that nft leaves out of its JSON', async (t) => {
  const chain = { family: 'netdev', table: 'd', name: 'i' };
  const table = [{ chain }, { rule: { ...chain, chain: 'i', handle: 2, expr: [{ drop: null }] } }];
  const json = (objects: object[]) => JSON.stringify({ nftables: objects });
  for (const [device, count] of [
    ['eth0', 1],
    ['eth1', 0],
  ] as const) {
    const text = `table netdev d {\n\tchain i {\n\t\ttype filter hook ingress device "${device}" priority 0;\n\t}\n}`;
    fakeCommands(t, {
      nft: `case "$*" in
        "--json list chains") echo '${json([{ chain: { ...chain, type: 'filter', hook: 'ingress' } }])}' ;;
        "list chains") printf '%s' '${text}' ;;
        *) echo '${json(table)}' ;;
      esac`,
    });
    t.equal((await firewallCheck(USED)(FACTS)).length, count, device);
  }
});

t.test('firewallCheck asks nft for no elements of named sets, unless nft is too old', async (t) => {
  const { chains, table } = serverFilter([]);
  const json = (objects: object[]) => JSON.stringify({ nftables: objects });
  for (const old of [false, true]) {
    const commands = fakeCommands(t, {
      nft: `echo "$*" >> $LOG; case "$*" in *chains) echo '${json(chains)}' ;; --terse*) ${old ? 'exit 1' : `echo '${json(table)}'`} ;; *) echo '${json(table)}' ;; esac`,
    });
    t.equal((await firewallCheck(USED)(FACTS)).length, 2);
    const listed = commands.taken().filter((line) => line.endsWith('list table inet filter'));
    t.equal(listed[0], '--terse --json list table inet filter');
    t.equal(listed.length, old ? 2 : 1);
  }
});

t.test('firewallCheck reports kubelet in another back end than the one that Weft chose before', async (t) => {
  const prints = (backEnd: string, rules: string) =>
    `[ "$1" = --version ] && echo "iptables v1.8.9 (${backEnd})" && exit; printf '%s\\n' '${rules}'`;
  const machine = (kubelet: string) =>
    fakeCommands(t, {
      iptables: prints('nf_tables', '-P FORWARD DROP\n-P INPUT ACCEPT'),
      'iptables-legacy': prints('legacy', kubelet),
      nft: 'exit 1',
    });
  machine('');
  const firewall = await Firewall.open(OPTIONS);
  t.teardown(() => firewall.close());
  // A legacy table counts only once it is loaded, which depends on the machine.
  t.intercept(Iptables.prototype, 'hasKubelet', {
    value: async function (this: Iptables) {
      return this.backEnd === 'legacy';
    },
  });
  machine('-N KUBE-IPTABLES-HINT');
  t.match(await firewallCheck(firewall)(FACTS), [
    {
      message: /^kubelet's chains are in legacy, but Weft's rules are in nf_tables of iptables; restart Weft/,
    },
  ]);
});

t.test('no check starts a command after its signal', async (t) => {
  const log = 'echo "$0 $*" >> $LOG';
  const commands = fakeCommands(t, { ip: log, nft: log, iptables: log });
  const facts = { ...FACTS, directRouting: true };
  await Promise.allSettled(nodeChecks(USED).map((check) => check(facts, AbortSignal.abort())));
  t.strictSame(commands.taken(), []);
});

t.test('firewallCheck reports nothing if no command of a firewall is installed', async (t) => {
  fakeCommands(t, {});
  t.strictSame(await firewallCheck(USED)(FACTS), []);
});
