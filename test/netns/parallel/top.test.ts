/** `weft top` on a terminal of tmux, and for a pipe. */

import { readFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import type { WeftDataplane } from '../../../lab/dataplanes/weft.js';
import type { Lab } from '../../../lab/lab.js';
import { ping } from '../../../lab/traffic/ping.js';
import { WEFT_CLI } from '../../../lab/world.js';
import { version } from '../../../src/version.js';
import { makeBed, startWeft, startWefts } from '../support/bed.js';
import { runCommand } from '../support/cli.js';
import { TmuxTerminal } from '../support/tmux.js';

/** The modes of a terminal that no program has changed. */
const ORDINARY = 'cursor 1, second screen 0, wrap 1';

const UTF8 = { LC_ALL: 'C.UTF-8' };

/** Types `weft top` with the variables; the shell prints how it ended. */
async function startTop(
  terminal: TmuxTerminal,
  lab: Lab,
  { runDir }: WeftDataplane,
  env = '',
): Promise<void> {
  const top = `exec ${process.execPath} ${WEFT_CLI} top --interval 0.2 --run-dir ${runDir}`;
  await terminal.type(`clear; stty -g >${lab.node(1).dir}/before`);
  await terminal.type(`${env} sh -c 'echo $$ >${lab.node(1).dir}/pid; ${top}'; echo "ended with $?"`);
}

/** Checks that the shell has its screen and its terminal again. */
async function checkRestored(t: Test, terminal: TmuxTerminal, lab: Lab, code: number): Promise<string[]> {
  const rows = await terminal.shows(new RegExp(`ended with ${code}$`, 'm'));
  t.equal(await terminal.modes(), ORDINARY, 'the modes of the screen');
  const { dir } = lab.node(1);
  await terminal.type(`stty -g >${dir}/after; echo written`);
  await terminal.shows(/^written$/m);
  t.equal(await readFile(`${dir}/after`, 'utf8'), await readFile(`${dir}/before`, 'utf8'), 'stty');
  return rows;
}

async function pidOf(lab: Lab): Promise<number> {
  return Number(await readFile(`${lab.node(1).dir}/pid`, 'utf8'));
}

/** Returns the rows with # for each figure and | for each sparkline: both differ from run to run. */
function masked(rows: readonly string[]): string[] {
  return rows.map((row) =>
    row
      .replace(/(?<=pid )\d+|(?<=up )[\d:]+/g, '#')
      .replace(/(?<=^(?:total|drops|192\.168\.77\.\d) .*) [\d.]+[kM]?(?= [^p])/g, ' #')
      .replace(/ +[▁▂▃▄▅▆▇█]+/g, ' |')
      .replace(/ {2,}/g, ' '),
  );
}

/** The screen of a node with traffic to the first of its two peers. */
const SCREEN = [
  `weft ${version()}, pid #, up #, level gso, 1 worker`,
  'flannel.1 up, 10.244.1.0/24, MTU 1450, over eth0 192.168.77.1, MTU 1500',
  '',
  ' bit/s packets/s',
  'PEER tx rx tx rx STATE',
  'total # # | # # | 2 peers',
  'drops # # |',
  /^192\.168\.77\.2 [#-] [#-] (\| )?# # \| (heard|reachable)$/,
  /^192\.168\.77\.3 [#-] [#-] (\| )?# # \| -$/,
  ...new Array<string>(14).fill(''),
  ' q quit ↑ ↓ scroll peers 1-2 of 2',
];

t.test('weft top on a terminal of 80 columns and 24 rows', async (t) => {
  const lab = await makeBed(t, { name: 'top', nodes: 3 });
  const [weft] = await startWefts(t, lab.nodes.slice(0, 2), { flags: ['--offload', 'gso'] });
  const terminal = await TmuxTerminal.start(t, lab.node(1).dir, UTF8);
  const pinging = ping(lab.pod(1).netns, lab.pod(2).address, { count: 200, interval: 0.02 });

  await startTop(terminal, lab, weft);
  // The sparkline of the second peer is full.
  const rows = await terminal.shows(/^192\.168\.77\.2 .* [▁▂▃▄▅▆▇█]{11} (heard|reachable)$/m);
  t.equal(await terminal.modes(), 'cursor 0, second screen 1, wrap 0');
  t.equal(rows.length, 24);
  t.match(masked(rows), SCREEN);

  const piped = ['top', '--interval', '0.2', '--run-dir', weft.runDir];
  const { code, stdout, stderr } = await runCommand(lab.node(1), piped);
  t.same([code, stderr], [0, '']);
  t.match(stdout, /^weft .*\n[^]*\ntotal +\d[^]*\n192\.168\.77\.2 .* (heard|reachable)\n/);
  t.notMatch(stdout, /\x1b/);

  await terminal.press('p');
  await terminal.shows(/no peers with a problem \(p: all\)$/m);
  await terminal.press('p');
  await terminal.shows(/peers 1-2 of 2$/m);

  await terminal.resize(120, 40);
  const larger = await terminal.shows(/^PEER {12}SUBNET/m);
  t.match(larger[39], / q quit/);
  await terminal.resize(80, 24);
  await terminal.shows(/^PEER {16}tx/m);

  await pinging;
  await weft.end();
  const waiting = await terminal.shows(/^weft does not run \(waiting\)$/m);
  t.ok(
    waiting.some((row) => /^192\.168\.77\.2 +- +- /.test(row)),
    'no rate is shown',
  );
  await startWeft(t, lab.node(1), { flags: ['--offload', 'gso'] });
  const again = await terminal.shows(/^weft .*, level gso/);
  t.notMatch(again.join('\n'), /\s-\d/, 'no negative rate');

  await terminal.press('q');
  await checkRestored(t, terminal, lab, 0);

  for (const [name, end, code] of [
    ['Ctrl-C', () => terminal.press('C-c'), 0],
    ['SIGTERM', async () => process.kill(await pidOf(lab), 'SIGTERM'), 143],
  ] as const) {
    await startTop(terminal, lab, weft);
    await terminal.shows(/ q quit/);
    await end();
    await t.test(name, async (t) => void (await checkRestored(t, terminal, lab, code)));
  }

  await t.test('a crash: its error is on the first screen', async (t) => {
    const crash = 'process.on(`SIGUSR2`,()=>{throw(new(Error)(`provoked`))})';
    await startTop(terminal, lab, weft, `NODE_OPTIONS='--import data:text/javascript,${crash}'`);
    await terminal.shows(/ q quit/);
    process.kill(await pidOf(lab), 'SIGUSR2');
    const rows = await checkRestored(t, terminal, lab, 1);
    t.match(rows.join(' '), /provoked/);
  });

  await t.test('Ctrl-Z: the shell continues it', async (t) => {
    await startTop(terminal, lab, weft);
    await terminal.shows(/ q quit/);
    await terminal.press('C-z');
    await terminal.shows(/Stopped|Suspended/);
    t.equal(await terminal.modes(), ORDINARY);
    await terminal.type('fg');
    await terminal.shows(/ q quit/);
    await terminal.press('q');
    await terminal.shows(/^[$#] ?$/m);
    t.equal(await terminal.modes(), ORDINARY);
  });

  await t.test('without colours and UTF-8', async (t) => {
    await startTop(terminal, lab, weft, 'LC_ALL=C NO_COLOR=1');
    await terminal.shows(/ q quit {3}up down scroll/);
    await terminal.press('q');
    await checkRestored(t, terminal, lab, 0);
  });
});

t.test(
  'weft top for a pipe fails if Weft does not run there, and names the directory of one that runs',
  async (t) => {
    const lab = await makeBed(t, { name: 'notop', nodes: 1 });
    const { code, stderr } = await runCommand(lab.node(1), ['top', '--run-dir', lab.node(1).dir]);
    t.equal(code, 1);
    t.match(stderr, /Weft is not running there .*; start it with weft run/);
    const { runDir, process } = await startWeft(t, lab.node(1));
    const other = await runCommand(lab.node(1), ['top', '--run-dir', lab.node(1).dir]);
    t.equal(other.code, 1);
    t.match(other.stderr, `; another one runs here (pid ${process.pid}): use --run-dir ${runDir}\n`);
  },
);
