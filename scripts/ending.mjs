// Ends a script early: on a signal, or when the npm that started it has died.
//
// What must not outlive the script has a clean-up registered with onEnd(); the last registered runs first.

import { readFileSync } from 'node:fs';

const CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };
const SHELLS = new Set(['sh', 'dash', 'bash', 'ash', 'busybox']);
const ANCESTOR_POLL_MS = 250;

const cleanups = [];
let ending = false;
let watching = false;

/**
 * Registers a clean-up for an interrupted script. Returns the function that unregisters it.
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
  // A closed pipe (`npm run demo | head`) is no error.
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
  const ancestors = npmAncestors();
  if (ancestors.length === 0) return;
  // JavaScript cannot call prctl(PR_SET_PDEATHSIG), which would miss npm above the shell anyway: hence the poll.
  setInterval(() => {
    if (!ancestors.every(({ pid, started }) => statOf(pid)?.started === started)) {
      void end('SIGHUP', 'stopped: the npm process that started it has ended');
    }
  }, ANCESTOR_POLL_MS).unref();
}

async function end(signal, message) {
  if (ending) return;
  ending = true;
  // A copy: a clean-up may unregister others.
  for (const cleanup of [...cleanups].reverse()) {
    try {
      await cleanup();
    } catch (error) {
      console.error(`weft: a clean-up failed: ${error instanceof Error ? error.message : error}`);
    }
  }
  // On a terminal the cursor is behind `^C` or within a progress line.
  console.error(`${process.stderr.isTTY ? '\n' : ''}weft: ${message}; everything is cleaned up`);
  process.exit(CODES[signal]);
}

/** Returns true while an interruption is being handled: children then fail because they are being stopped. */
export function isEnding() {
  return ending;
}

/** Returns the shells between this process and the npm that started it, then npm itself; nothing without npm. */
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

/** Returns name, parent and start time of a process (the time tells a reused pid apart); undefined once it is dead. */
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
