import t from 'tap';
import { Iptables } from '../../../../src/control/firewall/iptables.js';
import { findIptables } from '../../../../src/control/firewall/locations.js';
import { Nftables } from '../../../../src/control/firewall/nftables.js';
import {
  choicesOf,
  type Missing,
  NOTHING,
  Reduction,
  Refused,
} from '../../../../src/control/firewall/reduction.js';
import { forwardRules, masqRules } from '../../../../src/control/firewall/rules.js';
import { cidr } from '../../../support/addresses.js';
import { fakeCommands } from '../../../support/fake-commands.js';

const RANGE = { network: cidr('10.244.0.0/16'), subnet: cidr('10.244.1.0/24') };
const DESIRED = { masq: masqRules('ipv4', RANGE), forward: forwardRules(RANGE) };
const ALL = choicesOf(['comment', 'mark', 'randomFully', 'masquerade']);

/** Returns the body of an `iptables-restore` that refuses some input with a message, and logs the accepted input. */
function restoreRefusing(pattern: string, message: string): string {
  return `text=; while read -r line; do text="$text$line|"; case "$line" in ${pattern}) echo "${message}" >&2; exit 2 ;; esac; done; echo "$text" >> $LOG`;
}

const COMMENT = 'Warning: Extension comment revision 0 not supported, missing kernel module?';
const MASQUERADE = 'Warning: Extension MASQUERADE revision 0 not supported, missing kernel module?';
const NO_NAT = "can't initialize iptables table \\`nat': Table does not exist (do you need to insmod?)";

t.test('choicesOf starts with complete rules and leaves out ever more', async (t) => {
  const sizes = ALL.map(({ size }) => size);
  t.strictSame(sizes, [...sizes].sort());
  t.equal(ALL[0]?.size, 0);
  t.equal(new Set(ALL.map((choice) => [...choice].sort().join())).size, 12, 'no choice twice');
});

t.test('Reduction leaves out the least that is accepted, and asks once while nothing changes', async (t) => {
  const reduction = new Reduction();
  const lacking = new Set(['comment', 'masquerade']);
  let attempts = 0;
  const attempt = async (missing: Missing) => {
    attempts++;
    if ([...lacking].some((part) => !(missing as ReadonlySet<string>).has(part)))
      throw new Refused(`no ${[...lacking].join()}`);
  };
  await reduction.search(ALL, attempt);
  t.strictSame([...reduction.missing].sort(), ['comment', 'masquerade']);
  attempts = 0;
  await reduction.retry(ALL, attempt);
  t.equal(attempts, 1);
  lacking.delete('comment');
  await reduction.retry(ALL, attempt);
  t.strictSame([...reduction.missing], ['masquerade']);
  lacking.clear();
  await reduction.retry(ALL, attempt);
  t.equal(reduction.missing, NOTHING);
});

t.test('Reduction rejects with the first refusal, and at once with any other error', async (t) => {
  const refused = new Refused('no chain');
  await t.rejects(
    new Reduction().search(ALL, () => Promise.reject(refused)),
    refused,
  );
  let attempts = 0;
  const locked = () => {
    attempts++;
    return Promise.reject(new Error('held lock'));
  };
  await t.rejects(new Reduction().search(ALL, locked), { message: 'held lock' });
  t.equal(attempts, 1);
});

const BACK_ENDS = { legacy: 'iptables v1.8.9 (legacy)', nf_tables: 'iptables v1.8.9 (nf_tables)' };

for (const [backEnd, version] of Object.entries(BACK_ENDS)) {
  t.test(`Iptables, ${backEnd}, writes the rules that the kernel accepts and names the module`, async (t) => {
    for (const [pattern, message, losses, tables] of [
      ['*comment*', COMMENT, [/lacks module xt_comment: .*modprobe .*xt_comment$/], ['*nat', '*filter']],
      ['*MASQUERADE*', MASQUERADE, [/lacks module xt_MASQUERADE: .* gets no reply/], ['*nat', '*filter']],
      ['*nat*', NO_NAT, [/no table nat \(module (iptable_nat|nft_chain_nat)\)/], ['*filter']],
      ['*"-m mark"*', 'iptables-restore: line 4 failed', [/lacks module xt_mark/], ['*nat', '*filter']],
      ['*random-fully*', 'unknown option', [/refuses random source ports/], ['*nat', '*filter']],
    ] as const) {
      const commands = fakeCommands(t, {
        iptables: `[ "$1" = --version ] && echo "${version}" && exit; exit 1`,
        'iptables-restore': restoreRefusing(pattern, message),
        nft: 'exit 0',
      });
      const [iptables] = await Iptables.find('ipv4', { randomFully: true, waitSeconds: 1 });
      await iptables?.write(DESIRED);
      t.match(iptables?.losses, losses, pattern);
      t.equal(iptables?.losses.length, 1);
      const written = commands.taken();
      t.strictSame(
        written.map((text) => text.split('|')[0]),
        tables,
      );
      await iptables?.improve(DESIRED);
      t.strictSame(commands.taken(), [], 'nothing is written while the kernel accepts no more');
    }
  });
}

t.test('Iptables leaves out nothing if another program holds the lock', async (t) => {
  const commands = fakeCommands(t, {
    iptables: '[ "$1" = --version ] && echo "iptables v1.8.9 (legacy)" && exit; exit 1',
    'iptables-restore':
      'echo run >> $LOG; echo "Another app is currently holding the xtables lock" >&2; exit 4',
  });
  const [iptables] = await Iptables.find('ipv4', { waitSeconds: 1 });
  await t.rejects(async () => iptables?.write(DESIRED), { message: /xtables lock/ });
  t.equal(commands.taken().length, 2, 'one attempt per table');
  t.strictSame(iptables?.losses, []);
});

t.test('probe tries the rules in another network namespace, or only parses them', async (t) => {
  const commands = {
    iptables: '[ "$1" = --version ] && echo "iptables v1.8.9 (legacy)" && exit; exit 1',
    'iptables-restore': `echo "$*" >> $LOG; ${restoreRefusing('*comment*', COMMENT)}`,
  };
  const withUnshare = fakeCommands(t, {
    ...commands,
    unshare: 'echo "unshare $1 $2" >> $LOG; shift; exec "$@"',
  });
  const [inNamespace] = await Iptables.find('ipv4', { waitSeconds: 1 });
  await inNamespace?.probe(DESIRED);
  t.match(inNamespace?.losses, [/xt_comment/]);
  t.ok(withUnshare.taken().includes('unshare --net iptables-restore'));
  const without = fakeCommands(t, {
    ...commands,
    unshare: 'echo "unshare: Operation not permitted" >&2; exit 1',
  });
  const [parsing] = await Iptables.find('ipv4', { waitSeconds: 1 });
  await parsing?.probe(DESIRED);
  t.match(parsing?.losses, [/xt_comment/]);
  t.ok(without.taken().includes('--noflush --wait=1 --test'));
});

t.test('Nftables writes the forward rules without masquerading, or without a nat chain', async (t) => {
  for (const [pattern, loss] of [
    ['*" masquerade"*', /lacks module nft_masq/],
    ['*"type nat"*', /no table nat \(module nft_chain_nat\)/],
    ['*fully-random*', /refuses random source ports/],
  ] as const) {
    const commands = fakeCommands(t, { nft: restoreRefusing(pattern, 'Error: Could not process rule') });
    const nftables = new Nftables('ipv4', true);
    await nftables.write(DESIRED);
    t.match(nftables.losses, [loss], pattern);
    t.match(commands.taken(), [/ip saddr 10\.244\.0\.0\/16 accept/]);
  }
});

t.test("findIptables prefers the back end with kubelet's chains", async (t) => {
  const iptables = (backEnd: string, kubelet: boolean) =>
    `[ "$1" = --version ] && echo "iptables v1.8.9 (${backEnd})" && exit; ${kubelet ? 'echo "-N KUBE-IPTABLES-HINT"' : ':'}`;
  fakeCommands(t, {
    iptables: iptables('legacy', false),
    'iptables-legacy': iptables('legacy', false),
    'iptables-nft': iptables('nf_tables', true),
  });
  const { main, others, reason } = await findIptables('ipv4');
  t.equal(main?.command, 'iptables-nft');
  t.strictSame(
    others.map(({ command }) => command),
    ['iptables'],
  );
  t.match(reason, /iptables uses legacy, but kubelet's chains are in nf_tables: Weft uses iptables-nft/);
  fakeCommands(t, { iptables: iptables('legacy', false), 'iptables-nft': iptables('nf_tables', false) });
  const plain = await findIptables('ipv4');
  t.strictSame([plain.main?.command, plain.reason], ['iptables', undefined]);
});
