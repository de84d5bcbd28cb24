import t from 'tap';
import { Firewall } from '../../../../src/control/firewall/firewall.js';
import type { FirewallOptions } from '../../../../src/control/firewall/rules.js';
import { cidr } from '../../../support/addresses.js';
import { catchLog } from '../../../support/catch-log.js';
import { fakeCommands } from '../../../support/fake-commands.js';
import { mentions, refusal } from '../../../support/user-error.js';

const OPTIONS: FirewallOptions = {
  mode: 'iptables',
  families: ['ipv4'],
  ipMasq: true,
  forwardRules: true,
  fullyRandom: true,
  resyncSeconds: 1,
};
const RANGE = {
  family: 'ipv4',
  network: cidr('10.244.0.0/16'),
  subnet: cidr('10.244.1.0/24'),
  previous: undefined,
} as const;

t.test('rules that are wanted and cannot be made are refused, with the package to install', async (t) => {
  fakeCommands(t, {});
  mentions(
    t,
    await refusal(t, () => Firewall.open(OPTIONS)),
    'iptables: command not found in PATH',
    '--ip-masq',
    'apt-get install iptables',
  );
  mentions(
    t,
    await refusal(t, () => Firewall.open({ ...OPTIONS, mode: 'nftables' })),
    'no nftables support: nft: command not found in PATH',
    'apt-get install nftables',
  );
});

t.test('where IPv6 is wanted, ip6tables is', async (t) => {
  fakeCommands(t, { iptables: 'echo "iptables v1.8.9 (legacy)"' });
  await Firewall.open(OPTIONS);
  const dual = { ...OPTIONS, families: ['ipv4', 'ipv6'] } as const;
  mentions(t, await refusal(t, () => Firewall.open(dual)), 'ip6tables: command not found');
});

t.test('where no rules are wanted, no command is needed', async (t) => {
  fakeCommands(t, {});
  const log = catchLog(t);
  for (const mode of ['iptables', 'nftables'] as const) {
    const firewall = await Firewall.open({ ...OPTIONS, mode, ipMasq: false, forwardRules: false });
    await firewall.apply(RANGE);
    await firewall.close();
  }
  t.equal(log.filter((line) => line.includes('Starting flannel')).length, 0);
});

t.test('nft that cannot masquerade from random ports does it in order', async (t) => {
  const commands = fakeCommands(t, {
    nft: 'while read -r line; do case "$1$line" in --check*fully-random*) exit 1 ;; --file*) echo "$line" >> $LOG ;; esac; done',
  });
  catchLog(t);
  const firewall = await Firewall.open({ ...OPTIONS, mode: 'nftables' });
  await firewall.apply(RANGE);
  await firewall.close();
  t.strictSame(firewall.lacks, ['nftables: random fully unsupported']);
  t.equal(commands.taken().filter((line) => line.endsWith(' masquerade')).length, 2);
});

t.test('a failure is told once, and does not end the start', async (t) => {
  fakeCommands(t, { iptables: '[ "$1" = --version ] && echo "iptables v1.8.9 (legacy)" || exit 4' });
  const log = catchLog(t);
  const firewall = await Firewall.open(OPTIONS);
  await firewall.apply(RANGE);
  await firewall.apply(RANGE);
  await firewall.close();
  const told = log.filter((line) => line.includes('Failed to ensure iptables rules: '));
  t.equal(told.length, 1);
  t.match(told[0], /--list-rules POSTROUTING: exit code 4; trying again every 1 s$/);
});

t.test('a kernel without nf_tables has nothing there to clean up', async (t) => {
  fakeCommands(t, {
    'iptables-nft':
      '[ "$1" = --version ] && echo "iptables v1.8.9 (nf_tables)" && exit; echo "iptables v1.8.9 (nf_tables): Could not fetch rule set generation id: Invalid argument" >&2; exit 4',
  });
  const log = catchLog(t);
  const firewall = await Firewall.open({ ...OPTIONS, ipMasq: false, forwardRules: false });
  await firewall.apply(RANGE);
  await firewall.close();
  t.strictSame(
    log.filter((line) => line.startsWith('W')),
    [],
  );
});
