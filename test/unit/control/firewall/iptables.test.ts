import t from 'tap';
import { CHAINS, type Chain, Iptables, restoreText } from '../../../../src/control/firewall/iptables.js';
import { forwardRules, masqRules } from '../../../../src/control/firewall/rules.js';
import { cidr } from '../../../support/addresses.js';
import { fakeCommands } from '../../../support/fake-commands.js';

const [MASQ, FORWARD] = CHAINS as [Chain, Chain];
const RANGE = { network: cidr('10.244.0.0/16'), subnet: cidr('10.244.1.0/24') };
const RANGE6 = { network: cidr('fd00:10:244::/56'), subnet: cidr('fd00:10:244:1::/64') };

t.test("the nat rules are flannel's", async (t) => {
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

t.test("IPv6's differ in their addresses alone, and without --random-fully it is MASQUERADE", async (t) => {
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

t.test('jumps that are there go before the new one is appended', async (t) => {
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

t.test('--wait and --random-fully are for 1.6.2 and later', async (t) => {
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
    const said = commands.taken();
    t.equal(said.includes('--noflush --wait=3'), recent, version);
    t.equal(said.includes('--wait=3 --table nat --list-rules POSTROUTING'), recent, version);
    t.equal(said.filter((line) => line.endsWith('-j MASQUERADE --random-fully')).length, recent ? 2 : 0);
  }
});

t.test('both back ends of a machine are found, each once, first the one that is in use', async (t) => {
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

t.test('a table that cannot be written keeps nothing from the other', async (t) => {
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
