import t from 'tap';
import { commandText, ipBatchText, isIpWord } from '../../../../src/control/support/command-input.js';
import { refusal } from '../../../support/user-error.js';

t.test('ipBatchText writes one command per line', async (t) => {
  t.equal(ipBatchText(['link show', 'route show']), 'link show\nroute show\n');
});

t.test('ipBatchText refuses characters that iproute2 interprets, and names the command', async (t) => {
  for (const character of ['\n', '\r', '\t', '\0', '\u007f', '\u0085', '#', '"', "'", '\\']) {
    const message = await refusal(t, () => ipBatchText(['link show', `link delete a${character}b`]));
    t.match(message, /^ip: the command "link delete a.* is not run: /);
  }
});

t.test('isIpWord accepts the names that a batch can have', async (t) => {
  for (const name of ['eth0', '-foo', 'a;b', 'größe', 'eth0@if3', '$(x)'])
    t.equal(isIpWord(name), true, name);
  for (const name of ['', 'a#b', 'a"b', "a'b", 'a\\', 'a b', 'a\u001b', 'a\u00a0b'])
    t.equal(isIpWord(name), false, name);
});

t.test('commandText accepts leading tabs and refuses any other control character', async (t) => {
  t.equal(commandText('nft', ['table ip x {', '\t\taccept', '}']), 'table ip x {\n\t\taccept\n}\n');
  for (const line of ['a\nb', 'a\tb', '\u001b', '\0']) {
    t.match(await refusal(t, () => commandText('nft', [line])), /^nft: the command .* is not run: /);
  }
});
