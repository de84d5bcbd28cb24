import t from 'tap';
import { IPTABLES_CHAINS, type IptablesChain } from '../../../../src/control/firewall/chains.js';
import { Iptables } from '../../../../src/control/firewall/iptables.js';
import { restoreText } from '../../../../src/control/firewall/iptables-text.js';
import { forwardRules, masqRules } from '../../../../src/control/firewall/rules.js';
import { cidr } from '../../../support/addresses.js';
import { fakeCommands } from '../../../support/fake-commands.js';

const [MASQ, FORWARD] = IPTABLES_CHAINS as [IptablesChain, IptablesChain];
const RANGE = { network: cidr('10.244.0.0/16'), subnet: cidr('10.244.1.0/24') };
const RANGE6 = { network: cidr('fd00:10:244::/56'), subnet: cidr('fd00:10:244:1::/64') };

t.test("restoreText gives the nat table flannel's rules", async (t) => {
  t.equal(
    restoreText(MASQ, masqRules('ipv4', RANGE), [], true),
    `*nat
:FLANNEL-POSTRTG - [0:0]
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s 10.244.1.0/24 -d 10.244.0.0/16 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s 10.244.0.0/16 -d 10.244.1.0/24 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.1.0/24 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.0.0/16 -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
COMMIT
`,
  );
});

t.test('restoreText writes IPv6 addresses, and MASQUERADE alone without --random-fully', async (t) => {
  t.equal(
    restoreText(MASQ, masqRules('ipv6', RANGE6), [], false),
    `*nat
:FLANNEL-POSTRTG - [0:0]
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s fd00:10:244:1::/64 -d fd00:10:244::/56 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s fd00:10:244::/56 -d fd00:10:244:1::/64 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG ! -s fd00:10:244::/56 -d fd00:10:244:1::/64 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s fd00:10:244::/56 ! -d ff00::/8 -m comment --comment "flanneld masq" -j MASQUERADE
-A FLANNEL-POSTRTG ! -s fd00:10:244::/56 -d fd00:10:244::/56 -m comment --comment "flanneld masq" -j MASQUERADE
COMMIT
`,
  );
});

t.test('restoreText deletes present jumps before it appends the new one', async (t) => {
  t.equal(
    restoreText(
      FORWARD,
      forwardRules(RANGE),
      ['-A FORWARD -j FLANNEL-FWD', '-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD'],
      true,
    ),
    `*filter
:FLANNEL-FWD - [0:0]
-D FORWARD -j FLANNEL-FWD
-D FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
-A FLANNEL-FWD -s 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT
-A FLANNEL-FWD -d 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT
COMMIT
`,
  );
});

t.test('Iptables uses --wait and --random-fully from 1.6.2 on', async (t) => {
  const wanted = { masq: masqRules('ipv4', RANGE), forward: [] };
  for (const [version, recent] of [
    ['v1.4.21', false],
    ['v1.6.1', false],
    ['v1.6.2', true],
    ['v1.8.9 (nf_tables)', true],
    ['v2.0.0 (legacy)', true],
  ] as const) {
    const commands = fakeCommands(t, {
      iptables: `[ "$1" = --version ] && echo "iptables ${version}" && exit; echo "$@" >> $LOG; case "$*" in *--new-chain*) ;; *) exit 1 ;; esac`,
      'iptables-restore': 'echo "$@" >> $LOG; while read -r line; do echo "$line" >> $LOG; done',
    });
    const [iptables] = await Iptables.find('ipv4', { randomFully: true, waitSeconds: 3 });
    await iptables?.write(wanted);
    const logged = commands.taken();
    t.equal(logged.includes('--noflush --wait=3'), recent, version);
    t.equal(logged.includes('--wait=3 --table nat --list-rules POSTROUTING'), recent, version);
    t.equal(logged.filter((line) => line.endsWith('-j MASQUERADE --random-fully')).length, recent ? 2 : 0);
  }
});

t.test('Iptables.find returns each back end once, the default one first', async (t) => {
  const prints = (version: string) => `echo "iptables v1.8.9 (${version})"`;
  fakeCommands(t, {
    iptables: prints('legacy'),
    'iptables-nft': prints('nf_tables'),
    'iptables-legacy': prints('legacy'),
  });
  const options = { randomFully: true, waitSeconds: 1 };
  const found = await Iptables.find('ipv4', options);
  t.strictSame(
    found.map((iptables) => iptables?.command),
    ['iptables', 'iptables-nft'],
  );
  t.strictSame(await Iptables.find('ipv6', options), [undefined]);
});

t.test('write writes the filter table although the nat table fails', async (t) => {
  const commands = fakeCommands(t, {
    iptables:
      '[ "$1" = --version ] && echo "iptables v1.8.9 (legacy)" && exit; [ "$3" = nat ] && exit 3; exit 1',
    'iptables-restore': 'while read -r line; do echo "$line" >> $LOG; done',
  });
  const [iptables] = await Iptables.find('ipv4', { randomFully: true, waitSeconds: 1 });
  const wanted = { masq: masqRules('ipv4', RANGE), forward: forwardRules(RANGE) };
  await t.rejects(async () => iptables?.write(wanted), { message: /--table nat .*exit code 3/ });
  t.ok(commands.taken().includes('*filter'));
});

t.test('write names the capabilities that a forbidden iptables lacks, and blames no kernel', async (t) => {
  const forbidden = "can't initialize iptables table \\`nat': Permission denied (you must be root)";
  for (const [backEnd, needed] of [
    ['legacy', /grant CAP_NET_ADMIN and CAP_NET_RAW$/],
    ['nf_tables', /grant CAP_NET_ADMIN$/],
  ] as const) {
    fakeCommands(t, {
      iptables: `[ "$1" = --version ] && echo "iptables v1.8.9 (${backEnd})" && exit; echo "${forbidden}" >&2; exit 3`,
    });
    const [iptables] = await Iptables.find('ipv4', { randomFully: true, waitSeconds: 1 });
    await t.rejects(async () => iptables?.write({ masq: masqRules('ipv4', RANGE), forward: [] }), {
      message: needed,
    });
    t.strictSame(iptables?.losses, [], 'no loss of the kernel');
  }
});
