/** docs/guides/troubleshooting.md quotes messages that Weft really prints. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { COUNTER_NAMES } from '../../src/dataplane/counters.js';
import { ROOT } from '../support/code-blocks.js';

const PAGE = readFileSync(join(ROOT, 'docs/guides/troubleshooting.md'), 'utf8');

/** All texts of the sources; the values inside them and the joints of long strings are left out. */
const SOURCES = readdirSync(join(ROOT, 'src'), { recursive: true })
  .map((name) => join(ROOT, 'src', String(name)))
  .filter((path) => path.endsWith('.ts'))
  .map((path) => readFileSync(path, 'utf8').replaceAll("\\'", "'"))
  .join('\n');

/** Returns the rows of a section's table: the code of the first cell, and the other cells. */
function rows(heading: string): { messages: string[]; cells: string[] }[] {
  const section = PAGE.split(/^## /m).find((text) => text.startsWith(heading)) ?? '';
  return section
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| message') && !line.startsWith('| what'))
    .map((line) => {
      const [first = '', ...cells] = line.slice(2, -2).split(' | ');
      return { messages: [...first.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text), cells };
    });
}

/** Returns the parts of a quoted message between its values. */
function parts(message: string): string[] {
  return message
    .split(/…|\/dev\/net\/tun/)
    .map((part) => part.replace(/^[":; ]+|[":; ]+$/g, ''))
    .filter((part) => part.length > 3);
}

for (const heading of ['Messages of Weft at the start', 'Messages of Weft while it runs']) {
  t.test(`${heading}: every quoted message is in the sources`, async (t) => {
    const quoted = rows(heading).flatMap(({ messages }) => messages);
    t.ok(quoted.length > 10, 'the check finds messages');
    t.notOk(SOURCES.includes('a message that no source has'), 'the check can fail');
    t.same(
      quoted.filter((message) => !parts(message).every((part) => SOURCES.includes(part))),
      [],
    );
  });
}

t.test('every row has a cause or a remedy', async (t) => {
  const headings = [...PAGE.matchAll(/^## (Messages .*|Packets .*)$/gm)].map(([, heading = '']) => heading);
  t.equal(headings.length, 5);
  const empty = headings.flatMap((heading) =>
    rows(heading).filter(({ cells }) => cells.length < 2 || cells.join('').trim() === ''),
  );
  t.same(empty, []);
});

t.test('every counter on the page exists', async (t) => {
  const known: readonly string[] = [
    ...COUNTER_NAMES,
    ...['rx_drop_socket_overflow', 'tx_drop_device_overflow', 'rx_drop_checksum'],
  ];
  const named = [...PAGE.matchAll(/`((?:rx|tx)_\w+)`/g)].map(([, name = '']) => name);
  t.ok(named.length > 5);
  t.same(
    named.filter((name) => !known.includes(name)),
    [],
  );
});
