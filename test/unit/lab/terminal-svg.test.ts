import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { COLUMNS, LINES, terminalSvg } from '../../../lab/terminal-svg.js';

/** dist/test/unit/lab/terminal-svg.test.js → repository */
const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));

/** Returns the lines of text in a picture. */
function textsOf(svg: string): string[] {
  return [...svg.matchAll(/<text[^>]*>(.*)<\/text>/g)].map(([, text = '']) =>
    text
      .replaceAll(/<[^>]*>/g, '')
      .replaceAll('&lt;', '<')
      .replaceAll('&gt;', '>')
      .replaceAll('&amp;', '&'),
  );
}

t.test('terminalSvg keeps styles and blanks, and escapes what XML reserves', async (t) => {
  const svg = terminalSvg('a & b', ['  \u001b[32mgood\u001b[0m <1 & 2>', '', 'two']);
  t.match(svg, '<title>a &amp; b</title>');
  t.match(svg, '  <tspan class="green">good</tspan> &lt;1 &amp; 2&gt;</text>');
  t.same(textsOf(svg), ['  good <1 & 2>', 'two']);
  t.match(svg, /y="30" textLength="117\.6"/, 'the first line has 14 characters');
  t.match(svg, /y="68" textLength="25\.2"/, 'the empty line takes its place');
});

t.test('the pictures in docs/images fit on a terminal, and show the demo that works', async (t) => {
  for (const name of ['demo', 'status']) {
    const texts = textsOf(readFileSync(`${ROOT}docs/images/${name}.svg`, 'utf8'));
    t.ok(texts.length > 5 && texts.length <= LINES, `${name}: ${texts.length} lines`);
    t.same(
      texts.filter((text) => [...text].length > COLUMNS),
      [],
      name,
    );
  }
  t.match(readFileSync(`${ROOT}docs/images/demo.svg`, 'utf8'), 'Weft works here');
  t.match(readFileSync(`${ROOT}docs/images/status.svg`, 'utf8'), 'backend     vxlan');
});
