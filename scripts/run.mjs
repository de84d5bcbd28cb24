// Runs the commands of the set-up: their output appears only when they fail, and they never outlive the script.

import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isEnding, onEnd } from './ending.mjs';

/** The project's root directory, with a trailing slash. */
export const ROOT = fileURLToPath(new URL('../', import.meta.url));

/** A failure whose message is complete: printed without a stack. */
export class SetupError extends Error {}

/** Prints one line of progress. */
export function say(text) {
  console.log(`weft set-up: ${text}`);
}

/**
 * Runs a command in the project's root and returns its output; throws SetupError with the output if it fails.
 * @param {string[]} argv
 * @param {{ env?: NodeJS.ProcessEnv, show?: boolean }} [options] show: let it write to the terminal itself
 * @returns {Promise<string>}
 */
export async function run(argv, options = {}) {
  // PDEATHSIG stops npm or apt-get even when this script gets SIGKILL.
  const guard = has('setpriv') ? ['setpriv', '--pdeathsig', 'TERM'] : [];
  const [file, ...args] = [...guard, ...argv];
  const child = spawn(file, args, {
    cwd: ROOT,
    stdio: options.show ? 'inherit' : ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  });
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  const closed = new Promise((resolve) => {
    child.once('error', (error) => {
      output += error.message;
      resolve(127);
    });
    child.once('close', (code) => resolve(code ?? 1));
  });
  const release = onEnd(async () => {
    child.kill('SIGTERM');
    await closed;
  });
  const code = await closed;
  release();
  if (isEnding()) await new Promise(() => undefined);
  if (code !== 0) {
    const log = output.trim() === '' ? '' : `\n${output.trimEnd().split('\n').slice(-25).join('\n')}`;
    throw new SetupError(`\`${argv.join(' ')}\` failed (exit ${code})${log}`);
  }
  return output;
}

/** Returns true if a command is in PATH. */
export function has(command) {
  return (process.env.PATH ?? '').split(':').some((folder) => {
    try {
      accessSync(`${folder}/${command}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Runs a script's main function: a SetupError becomes one message and exit code 1, a number the exit code. */
export async function main(body) {
  // Debian keeps iproute2 and ethtool in directories that `su` without a dash does not search.
  process.env.PATH = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;
  try {
    process.exit((await body()) ?? 0);
  } catch (error) {
    console.error(error instanceof SetupError ? `weft: ${error.message}` : error);
    process.exit(1);
  }
}
