import t from 'tap';
import { IPTABLES_CHAINS, type IptablesChain } from '../../../../src/control/firewall/chains.js';
import { nftJumps } from '../../../../src/control/firewall/iptables-nft.js';
import { fakeCommands } from '../../../support/fake-commands.js';

const [MASQ] = IPTABLES_CHAINS as [IptablesChain];

t.test('nftJumps finds the jumps in the output of every release of nft', async (t) => {
  fakeCommands(t, {
    nft: `echo 'table ip nat {
	chain POSTROUTING { # handle 2
		type nat hook postrouting priority srcnat; policy accept;
		 counter packets 7 bytes 420 jump FLANNEL-POSTRTG # handle 3
		xt match "comment" counter packets 7 bytes 420 jump FLANNEL-POSTRTG # handle 4
		counter packets 7 bytes 420 jump FLANNEL-POSTRTG comment "flanneld masq" # handle 5
		ip saddr 10.1.2.3  counter packets 0 bytes 0 goto FLANNEL-POSTRTG # handle 6
		counter packets 0 bytes 0 jump FLANNEL-POSTRTG-2 # handle 7
		ct mark 0x00000005 accept # handle 8
	}
}'`,
  });
  t.strictSame(await nftJumps('ipv4', MASQ), [
    { handle: '3', text: 'jump FLANNEL-POSTRTG' },
    { handle: '4', text: 'jump FLANNEL-POSTRTG' },
    { handle: '5', text: 'jump FLANNEL-POSTRTG' },
    { handle: '6', text: 'ip saddr 10.1.2.3  goto FLANNEL-POSTRTG' },
  ]);
});

t.test('nftJumps tells a missing chain, a failing nft and a missing nft apart', async (t) => {
  fakeCommands(t, { nft: 'echo "Error: No such file or directory" >&2; exit 1' });
  t.strictSame(await nftJumps('ipv4', MASQ), []);
  fakeCommands(t, { nft: 'echo "Error: Operation not permitted" >&2; exit 1' });
  await t.rejects(nftJumps('ipv4', MASQ), {
    message: /nft .*list chain ip nat POSTROUTING: .*not permitted/,
  });
  fakeCommands(t, {});
  t.equal(await nftJumps('ipv4', MASQ), undefined);
});
