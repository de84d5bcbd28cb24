/** Weft's rules in real firewalls: the rules in force, foreign rules, and repairs. */

import t, { type Test } from 'tap';
import type { LabNode } from '../../../lab/node.js';
import type { LabProcess } from '../../../lab/process.js';
import { until } from '../../../lab/until.js';
import { makeBed } from '../support/bed.js';
import {
  allSaved,
  applyOnce,
  BACK_ENDS,
  BOTH,
  holdLock,
  OPTIONS,
  printedByNft,
  ruleset,
  saved,
  startFirewall,
  V4,
} from '../support/rules.js';

const NFTABLES = { ...OPTIONS, mode: 'nftables' } as const;
const BOTH_NFTABLES = { ...BOTH, options: { ...BOTH.options, mode: 'nftables' } } as const;
const OLD = { ...V4, network: '10.1.0.0/16', subnet: '10.1.7.0/24' };

/** Makes a node for one test. */
async function makeNode(t: Test, name: string): Promise<LabNode> {
  return (await makeBed(t, { name: `rules-${name}`, nodes: 1, podsPerNode: 0, ipv6: true })).node(1);
}

/** Changes rules while the firewall is frozen, so that it never sees half of the change. */
async function harm(node: LabNode, firewall: LabProcess, line: string): Promise<void> {
  await firewall.freeze();
  await node.exec(['sh', '-c', line]);
  firewall.kill('SIGCONT');
}

/** Matches the log after this many repairs. */
function repaired(mode: string, times: number): RegExp {
  return new RegExp(
    `(Some ${mode} rules are missing; deleting and recreating rules[^]*?bootstrap done[^]*?){${times}}`,
  );
}

const POSTROUTING = '-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG';
const FORWARD = '-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD';

function nat(network: string, subnet: string, multicast: string): string[] {
  const rule = (match: string, target: string) =>
    `-A FLANNEL-POSTRTG ${match} -m comment --comment "flanneld masq" -j ${target}`;
  return [
    rule('-m mark --mark 0x4000/0x4000', 'RETURN'),
    rule(`-s ${subnet} -d ${network}`, 'RETURN'),
    rule(`-s ${network} -d ${subnet}`, 'RETURN'),
    rule(`! -s ${network} -d ${subnet}`, 'RETURN'),
    rule(`-s ${network} ! -d ${multicast}`, 'MASQUERADE --random-fully'),
    rule(`! -s ${network} -d ${network}`, 'MASQUERADE --random-fully'),
  ];
}

function filter(network: string): string[] {
  return ['-s', '-d'].map(
    (side) => `-A FLANNEL-FWD ${side} ${network} -m comment --comment "flanneld forward" -j ACCEPT`,
  );
}

/** The rules as iptables-save prints them, and no other rules. */
const NAT = [
  ':FLANNEL-POSTRTG - [0:0]',
  POSTROUTING,
  ...nat('10.244.0.0/16', '10.244.1.0/24', '224.0.0.0/4'),
];
const FILTER = [':FLANNEL-FWD - [0:0]', FORWARD, ...filter('10.244.0.0/16')];
const NAT6 = [
  ':FLANNEL-POSTRTG - [0:0]',
  POSTROUTING,
  ...nat('fd00:10:244::/56', 'fd00:10:244:1::/64', 'ff00::/8'),
];
const FILTER6 = [':FLANNEL-FWD - [0:0]', FORWARD, ...filter('fd00:10:244::/56')];
const ALL = [NAT, FILTER, NAT6, FILTER6];
const NONE = [[], [], [], []];

const TABLE = `table ip flannel-ipv4 {
	comment "rules for flannel-ipv4"
	chain postrtg {
		comment "chain to manage traffic masquerading by flannel"
		type nat hook postrouting priority srcnat; policy accept;
		meta mark 0x00004000 return
		ip saddr 10.244.1.0/24 ip daddr 10.244.0.0/16 return
		ip saddr 10.244.0.0/16 ip daddr 10.244.1.0/24 return
		ip saddr != 10.244.0.0/16 ip daddr 10.244.1.0/24 return
		ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random
		ip saddr != 10.244.0.0/16 ip daddr 10.244.0.0/16 masquerade fully-random
	}

	chain forward {
		comment "chain to accept flannel traffic"
		type filter hook forward priority filter; policy accept;
		ip saddr 10.244.0.0/16 accept
		ip daddr 10.244.0.0/16 accept
	}
}
`;
const THEIRS = 'table ip theirs {\n}\n';
const EMPTY6 = 'table ip6 flannel-ipv6 {\n\tcomment "rules for flannel-ipv6"\n}\n';
const TABLE6 = TABLE.replaceAll('ipv4', 'ipv6')
  .replaceAll('10.244.0.0/16', 'fd00:10:244::/56')
  .replaceAll('10.244.1.0/24', 'fd00:10:244:1::/64')
  .replaceAll('224.0.0.0/4', 'ff00::/8')
  .replaceAll(/\bip (?=flannel|saddr|daddr)/g, 'ip6 ');

for (const backEnd of BACK_ENDS) {
  t.test(`iptables, ${backEnd}: the rules of both families equal flannel's`, async (t) => {
    const node = await makeNode(t, `golden-${backEnd}`);
    const log = await applyOnce(t, node, { backEnd }, BOTH);
    t.strictSame(await allSaved(node, backEnd), ALL);
    t.match(log, /Cleaning-up unused traffic manager rules/);
    t.match(log, /Starting flannel in iptables mode\.\.\.[^]*Setting up masking rules\n[^]*bootstrap done/);
    t.match(log, /Setting up masking rules for IPv6\n/);
    t.match(log, /Changing default FORWARD chain policy to ACCEPT\n/);
  });

  t.test(
    `iptables, ${backEnd}: apply deletes an old subnet's rules, keeps foreign ones and adds the jump last`,
    async (t) => {
      const node = await makeNode(t, `old-${backEnd}`);
      const foreign = '-A POSTROUTING -s 172.30.0.0/16 -j MASQUERADE';
      const foreignForward = '-A FORWARD -s 172.30.0.0/16 -j ACCEPT';
      await applyOnce(t, node, { backEnd }, { options: OPTIONS, ranges: [OLD] });
      for (const rule of [
        // The jump as flannel inserted it up to 0.20; with it there are two.
        `-t nat -I${POSTROUTING.slice(2)}`,
        `-t nat ${foreign}`,
        `-t filter ${foreignForward}`,
      ]) {
        await node.exec(['sh', '-c', `iptables-${backEnd} ${rule}`]);
      }
      const previous = { network: OLD.network, subnet: OLD.subnet };
      const log = await applyOnce(t, node, { backEnd }, { options: OPTIONS, ranges: [{ ...V4, previous }] });
      t.strictSame(await saved(node, backEnd, 'nat'), [NAT[0], foreign, ...NAT.slice(1)]);
      t.strictSame(await saved(node, backEnd, 'filter'), [FILTER[0], foreignForward, ...FILTER.slice(1)]);
      t.match(
        log,
        'Current network or subnet (10.244.0.0/16, 10.244.1.0/24) is not equal to previous one (10.1.0.0/16, 10.1.7.0/24), trying to recycle old iptables rules\n',
      );
    },
  );

  t.test(`iptables, ${backEnd}: deleted, added and flushed rules are repaired`, async (t) => {
    const node = await makeNode(t, `repair-${backEnd}`);
    const firewall = await startFirewall(t, node, { backEnd }, BOTH);
    await firewall.waitFor(/^applied$/m);
    const commands = ['iptables', 'ip6tables'].map((name) => `${name}-${backEnd} --wait`);
    const harms = [
      (command: string) => `${command} -t nat -D FLANNEL-POSTRTG 2`,
      (command: string) =>
        `${command} -t nat -I FLANNEL-POSTRTG -j ACCEPT; ${command} -t filter -D FORWARD 1`,
      (command: string) => `${command} -t nat -F; ${command} -t nat -X`,
    ];
    for (const [index, lineFor] of harms.entries()) {
      const line = commands.map(lineFor).join('; ');
      await harm(node, firewall, line);
      await firewall.waitFor(repaired('iptables', 2 * (index + 1)));
      t.strictSame(await allSaved(node, backEnd), ALL, line);
    }
    await firewall.stop();
    t.match(firewall.output, /^6 repairs$/m, 'three of each family');
    t.strictSame(await allSaved(node, backEnd), ALL, 'the rules outlive the process');
  });

  t.test(`a change from iptables, ${backEnd}, to nftables and back leaves no stale rule`, async (t) => {
    const node = await makeNode(t, `switch-${backEnd}`);
    await applyOnce(t, node, { backEnd }, BOTH);
    const log = await applyOnce(t, node, { backEnd }, BOTH_NFTABLES);
    t.match(log, /Cleaning-up iptables rules\.\.\.\n[^]*Starting flannel in nftables mode\.\.\.\n/);
    t.strictSame([await allSaved(node, backEnd), await ruleset(node)], [NONE, [TABLE, TABLE6]]);
    await applyOnce(t, node, { backEnd }, BOTH);
    t.strictSame([await allSaved(node, backEnd), await ruleset(node)], [ALL, []]);
  });

  t.test(`iptables, ${backEnd}: rules of options that are switched off are deleted`, async (t) => {
    const node = await makeNode(t, `fewer-${backEnd}`);
    await applyOnce(t, node, { backEnd }, BOTH);
    await applyOnce(t, node, { backEnd }, { ...BOTH, options: { ...BOTH.options, ipMasq: false } });
    t.strictSame(await allSaved(node, backEnd), [[], FILTER, [], FILTER6], '--ip-masq');
    await applyOnce(t, node, { backEnd });
    t.strictSame(await allSaved(node, backEnd), [NAT, FILTER, [], []], 'IPv6');
  });

  t.test(`removeRules deletes Weft's rules from iptables, ${backEnd}, and from nftables`, async (t) => {
    const node = await makeNode(t, `remove-${backEnd}`);
    const foreign = '-A POSTROUTING -s 172.30.0.0/16 -j MASQUERADE';
    await node.exec(['sh', '-c', `iptables-${backEnd} -t nat ${foreign}; nft add table ip theirs`]);
    await applyOnce(t, node, { backEnd }, BOTH);
    await node.exec(['sh', '-c', 'nft add table ip flannel-ipv4; nft add table ip6 flannel-ipv6']);
    t.match(
      await applyOnce(t, node, { backEnd }, {}),
      /^removed: iptables, ip6tables, nftables \(ipv4\), nftables \(ipv6\)$/m,
    );
    t.strictSame([await allSaved(node, backEnd), await ruleset(node)], [[[foreign], [], [], []], [THEIRS]]);
    t.match(await applyOnce(t, node, { backEnd }, {}), /^removed: $/m, 'a second clean-up finds nothing');
  });
}

t.test(
  'iptables, nft: a rule of nft in the same chain, which iptables cannot print, does no harm',
  async (t) => {
    const node = await makeNode(t, 'foreign');
    const theirs = 'ct mark 0x00000005 accept';
    const jump = 'counter jump FLANNEL-POSTRTG';
    const postrouting = () => printedByNft(node, 'nat POSTROUTING');
    const firewall = await startFirewall(t, node, { backEnd: 'nft' }, { options: OPTIONS });
    await firewall.waitFor(/^applied$/m);

    await node.exec(['nft', `insert rule ip nat POSTROUTING ${theirs}`]);
    await node.exec(['iptables-nft', '--wait', '-t', 'nat', '-F', 'FLANNEL-POSTRTG']);
    await firewall.waitFor(repaired('iptables', 1));
    t.strictSame(await postrouting(), [theirs, jump], 'one jump, which is last');
    await firewall.stop();
    t.match(firewall.output, /^1 repairs$/m, 'the foreign rule causes no repair');

    const blind = await applyOnce(t, node, { backEnd: 'nft', nft: false });
    t.match(blind, /Failed to ensure iptables rules: iptables cannot print POSTROUTING .*install nftables/);
    t.strictSame(await postrouting(), [theirs, jump], 'without nft the jump is not changed');

    t.match(await applyOnce(t, node, { backEnd: 'nft' }, {}), /^removed: iptables$/m);
    t.strictSame(await postrouting(), [theirs]);

    await applyOnce(t, node, { backEnd: 'nft', nft: false });
    t.strictSame(await postrouting(), [theirs, jump], 'without nft a new chain is written all the same');
  },
);

for (const backEnd of BACK_ENDS) {
  t.test(
    `iptables, ${backEnd}: clean-up empties a chain that a foreign rule jumps to, and deletes the rest`,
    async (t) => {
      const node = await makeNode(t, `used-${backEnd}`);
      await applyOnce(t, node, { backEnd }, BOTH);
      await node.exec([
        'sh',
        '-c',
        `iptables-${backEnd} -N MINE; iptables-${backEnd} -A MINE -j FLANNEL-FWD`,
      ]);
      const firewall = await startFirewall(t, node, { backEnd }, { options: NFTABLES });
      await firewall.waitFor(
        /Failed to clean up iptables: chain FLANNEL-FWD of table filter was emptied but cannot be deleted \(.*\)/,
      );
      await firewall.waitFor(/^applied$/m);
      t.strictSame(await allSaved(node, backEnd), [
        [],
        [':FLANNEL-FWD - [0:0]', '-A MINE -j FLANNEL-FWD'],
        [],
        [],
      ]);
      t.strictSame(await ruleset(node), [TABLE, EMPTY6]);
      await node.exec(['sh', '-c', `iptables-${backEnd} -F MINE`]);
      await firewall.waitFor(/Cleaned up iptables$/m);
      t.strictSame(await saved(node, backEnd, 'filter'), []);
    },
  );
}

t.test('rules of iptables are deleted without iptables, those of nftables without nft', async (t) => {
  const node = await makeNode(t, 'without');
  const foreign = '-A POSTROUTING -s 172.30.0.0/16 -j MASQUERADE';
  await node.exec(['sh', '-c', `iptables-nft -t nat ${foreign}; nft add table ip theirs`]);
  await applyOnce(t, node, { backEnd: 'nft' }, BOTH);
  await applyOnce(t, node, { backEnd: 'none' }, BOTH_NFTABLES);
  t.strictSame(
    [await allSaved(node, 'nft'), await ruleset(node)],
    [
      [[foreign], [], [], []],
      [TABLE, THEIRS, TABLE6],
    ],
  );
  await applyOnce(t, node, { backEnd: 'legacy', nft: false }, BOTH);
  t.strictSame([await ruleset(node), await allSaved(node, 'legacy')], [[THEIRS], ALL]);
});

t.test("nftables: the tables equal flannel's, without iptables in PATH", async (t) => {
  const node = await makeNode(t, 'golden-nft');
  await applyOnce(t, node, { backEnd: 'none' }, { ...BOTH_NFTABLES, ranges: [OLD, ...BOTH.ranges] });
  t.strictSame(await ruleset(node), [TABLE, TABLE6]);
  await applyOnce(t, node, { backEnd: 'none' }, { options: { ...NFTABLES, fullyRandom: false } });
  t.strictSame(await ruleset(node), [TABLE.replaceAll(' fully-random', ''), EMPTY6]);
});

t.test('nftables: changed tables are repaired, foreign tables stay', async (t) => {
  const node = await makeNode(t, 'repair-nftables');
  const firewall = await startFirewall(t, node, { backEnd: 'none' }, BOTH_NFTABLES);
  await firewall.waitFor(/^applied$/m);
  const harms = [
    'flush ruleset; add table ip theirs',
    'flush chain ip flannel-ipv4 postrtg; flush chain ip6 flannel-ipv6 postrtg',
    'insert rule ip flannel-ipv4 forward counter drop; insert rule ip6 flannel-ipv6 forward counter drop',
    'add table ip flannel-ipv4 { flags dormant; }; add table ip6 flannel-ipv6 { flags dormant; }',
  ];
  for (const [index, line] of harms.entries()) {
    await harm(node, firewall, `nft '${line}'`);
    await firewall.waitFor(repaired('nftables', 2 * (index + 1)));
    t.strictSame(await ruleset(node), [TABLE, THEIRS, TABLE6], line);
  }
  await firewall.stop();
  t.match(firewall.output, /^8 repairs$/m, 'four of each family');
});

t.test('nftables: the table of a family that the cluster does not have stays empty', async (t) => {
  const node = await makeNode(t, 'empty-nftables');
  const firewall = await startFirewall(t, node, { backEnd: 'none' }, { options: NFTABLES });
  await firewall.waitFor(/^applied$/m);
  await node.exec(['nft', 'flush ruleset']);
  await until('both tables', async () => (await ruleset(node)).length === 2);
  t.strictSame(await ruleset(node), [TABLE, EMPTY6]);
});

t.test('apply waits for the lock of another process, and the next check retries', async (t) => {
  const node = await makeNode(t, 'lock');
  const holder = await holdLock(t);
  const firewall = await startFirewall(t, node, { backEnd: 'legacy' }, { options: OPTIONS });
  await firewall.waitFor(/Failed to ensure iptables rules: .*xtables lock.*; retrying every 0\.2 s/);
  await firewall.waitFor(/^applied$/m);
  await holder.stop();
  await firewall.waitFor(/bootstrap done/);
  t.strictSame(await saved(node, 'legacy', 'nat'), NAT);
  t.strictSame(await saved(node, 'legacy', 'filter'), FILTER);
});

t.test('stale rules of the other mode behind a lock are deleted later', async (t) => {
  const node = await makeNode(t, 'leftovers');
  await applyOnce(t, node, { backEnd: 'legacy' });
  const holder = await holdLock(t);
  // No other check runs meanwhile.
  const options = { ...NFTABLES, ipMasq: false, forwardRules: false };
  const firewall = await startFirewall(t, node, { backEnd: 'legacy' }, { options });
  await firewall.waitFor(/Failed to clean up iptables: .*xtables lock.*; retrying every 0\.2 s/);
  await firewall.waitFor(/^applied$/m);
  await holder.stop();
  await firewall.waitFor(/Cleaned up iptables\n/);
  t.strictSame([await saved(node, 'legacy', 'nat'), await saved(node, 'legacy', 'filter')], [[], []]);
});

t.test('the search for stale rules loads no unused table of legacy iptables', async (t) => {
  const node = await makeNode(t, 'unloaded');
  await applyOnce(t, node, { backEnd: 'legacy' }, { options: NFTABLES });
  const { stdout } = await node.exec([
    'sh',
    '-c',
    'cat /proc/net/ip_tables_names /proc/net/ip6_tables_names',
  ]);
  t.equal(stdout, '');
});

t.test('without br_netfilter the rules are applied, with a warning that names the remedy', async (t) => {
  const node = await makeNode(t, 'bridge');
  const hidden = [
    'unshare',
    '--mount',
    'sh',
    '-c',
    'mount -t tmpfs tmpfs /proc/sys/net/bridge; exec "$@"',
    'sh',
  ];
  const firewall = await startFirewall(t, node, { backEnd: 'nft' }, BOTH, hidden);
  await firewall.waitFor(/^applied$/m);
  for (const setting of ['bridge-nf-call-iptables', 'bridge-nf-call-ip6tables'])
    t.match(
      firewall.output,
      new RegExp(
        `Failed to check br_netfilter: stat /proc/sys/net/bridge/${setting}: no such file or directory; .*modprobe br_netfilter\n`,
      ),
    );
  t.strictSame(await allSaved(node, 'nft'), ALL);
});
