// `npm run pictures`: runs the demo and `weft status`, and draws their output as docs/images/demo.svg and status.svg.
//
// The pictures have what the commands print on a terminal of 80 columns and 24 lines. The speed in them is this
// machine's, so run it on a machine that does nothing else.

import { writeFileSync } from 'node:fs';
import { main, ROOT, run, say } from './run.mjs';
import { setUp } from './setup.mjs';

await main(async () => {
  await setUp(['demo']);
  const { LINES, terminalSvg } = await import(`${ROOT}dist/lab/terminal-svg.js`);
  const node = process.execPath;

  say('running the demo');
  const demo = linesOf(await run([node, 'scripts/demo.mjs'], { env: { FORCE_COLOR: '1', NO_COLOR: '' } }));
  const last = ['$ npm run demo', '', ...demo].slice(-LINES);
  draw('demo', terminalSvg('The last screen of npm run demo', last));

  say('running weft status');
  const status = linesOf(await run([node, 'scripts/world.mjs', 'dist/lab/status-text.js']));
  draw('status', terminalSvg('weft status', ['$ weft status', ...status]));
});

function linesOf(text) {
  return text.trimEnd().split('\n');
}

function draw(name, svg) {
  const path = `docs/images/${name}.svg`;
  writeFileSync(`${ROOT}${path}`, svg);
  say(`wrote ${path}`);
}
