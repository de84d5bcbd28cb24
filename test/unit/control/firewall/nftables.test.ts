import t from 'tap';
import { tableLines } from '../../../../src/control/firewall/nftables.js';
import { forwardRules, masqRules, NO_RULES } from '../../../../src/control/firewall/rules.js';
import { cidr } from '../../../support/addresses.js';

const RANGE = { network: cidr('10.244.0.0/16'), subnet: cidr('10.244.1.0/24') };
const RANGE6 = { network: cidr('fd00:10:244::/56'), subnet: cidr('fd00:10:244:1::/64') };

t.test('tableLines replaces the table and gives it the rules that iptables gets', async (t) => {
  t.equal(
    tableLines('ipv4', { masq: masqRules('ipv4', RANGE), forward: forwardRules(RANGE) }, true).join('\n'),
    `table ip flannel-ipv4
delete table ip flannel-ipv4
table ip flannel-ipv4 {
	comment "rules for flannel-ipv4"
	chain postrtg {
		comment "chain to manage traffic masquerading by flannel"
		type nat hook postrouting priority srcnat; policy accept;
		meta mark 0x4000 return
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
}`,
  );
});

t.test('tableLines gives IPv6 its own table and an empty rule set no chain', async (t) => {
  t.equal(
    tableLines('ipv6', { masq: masqRules('ipv6', RANGE6), forward: [] }, false).join('\n'),
    `table ip6 flannel-ipv6
delete table ip6 flannel-ipv6
table ip6 flannel-ipv6 {
	comment "rules for flannel-ipv6"
	chain postrtg {
		comment "chain to manage traffic masquerading by flannel"
		type nat hook postrouting priority srcnat; policy accept;
		meta mark 0x4000 return
		ip6 saddr fd00:10:244:1::/64 ip6 daddr fd00:10:244::/56 return
		ip6 saddr fd00:10:244::/56 ip6 daddr fd00:10:244:1::/64 return
		ip6 saddr != fd00:10:244::/56 ip6 daddr fd00:10:244:1::/64 return
		ip6 saddr fd00:10:244::/56 ip6 daddr != ff00::/8 masquerade
		ip6 saddr != fd00:10:244::/56 ip6 daddr fd00:10:244::/56 masquerade
	}
}`,
  );
  t.equal(
    tableLines('ipv6', NO_RULES, true).slice(2).join('\n'),
    'table ip6 flannel-ipv6 {\n\tcomment "rules for flannel-ipv6"\n}',
  );
});
