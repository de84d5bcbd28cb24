// How a script ends before its time: on a signal, or because the npm that started it is gone.
//
// One place owns this for all scripts. Whoever holds something that must not outlive the script registers a clean-up
// with onEnd(); the last registered runs first.

import { readFileSync } from 'node:fs';

const CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };
const SHELLS = new Set(['sh', 'dash', 'bash', 'ash', 'busybox']);
const ANCESTOR_POLL_MS = 250;

const cleanups = [];
let ending = false;
let watching = false;

/**
 * Registers a clean-up that runs if the script is interrupted. Returns the function that takes it back.
 * @param {() => void | Promise<void>} cleanup
 * @returns {() => void}
 */
export function onEnd(cleanup) {
  watch();
  cleanups.push(cleanup);
  return () => {
    const index = cleanups.indexOf(cleanup);
    if (index >= 0) cleanups.splice(index, 1);
  };
}

function watch() {
  if (watching) return;
  watching = true;
  for (const signal of Object.keys(CODES)) process.on(signal, () => void end(signal, `stopped by ${signal}`));
  // A reader that went away (`npm run demo | head`) must not turn into an unhandled error while ending.
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
  const ancestors = npmAncestors();
  if (ancestors.length === 0) return;
  // prctl(PR_SET_PDEATHSIG) is out of JavaScript's reach, and it would miss npm behind the shell: so poll.
  setInterval(() => {
    if (!ancestors.every(({ pid, started }) => statOf(pid)?.started === started)) {
      void end('SIGHUP', 'stopped: the npm that started this is gone');
    }
  }, ANCESTOR_POLL_MS).unref();
}

async function end(signal, message) {
  if (ending) return;
  ending = true;
  // A copy: a clean-up may take others back.
  for (const cleanup of [...cleanups].reverse()) {
    try {
      await cleanup();
    } catch (error) {
      console.error(`weft: while stopping: ${error instanceof Error ? error.message : error}`);
    }
  }
  // On a terminal the cursor stands behind `^C` or in the middle of a progress line.
  console.error(`${process.stderr.isTTY ? '\n' : ''}weft: ${message}, nothing is left behind`);
  process.exit(CODES[signal]);
}

/** True once an interruption is being handled: whoever sees a child fail then need not report it. */
export function isEnding() {
  return ending;
}

/** Our ancestors up to and including npm, when npm started us: the shells between, then npm itself. */
function npmAncestors() {
  if (process.env.npm_lifecycle_event === undefined) return [];
  const ancestors = [];
  for (let pid = process.ppid; pid > 1; ) {
    const stat = statOf(pid);
    if (stat === undefined) break;
    ancestors.push({ pid, started: stat.started });
    if (!SHELLS.has(stat.name)) break;
    pid = stat.parent;
  }
  return ancestors;
}

/** Name, parent and start time (which tells a re-used pid from the process we knew); undefined once it is dead. */
export function statOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const close = text.lastIndexOf(')');
    const fields = text.slice(close + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return { name: text.slice(text.indexOf('(') + 1, close), parent: Number(fields[1]), started: fields[19] };
  } catch {
    return undefined;
  }
}
