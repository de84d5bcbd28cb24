/** Runs the system's commands (ip, iptables, nft) as child processes with a time limit. */

import { type ChildProcess, type ExecFileException, execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { oneLine } from '../../sys/one-line.js';
import { printable } from './printable.js';

/** Exit code for a command that is not in PATH, as in a shell. */
export const NOT_FOUND = 127;

/** Commands wait for locks themselves, but not this long: a command that exceeds it hangs. */
const TIMEOUT_MS = 60_000;

const MAX_OUTPUT_BYTES = 64 << 20;

/** The commands that run. */
const RUNNING = new Set<ChildProcess>();

export interface Outcome {
  /** Exit code; NOT_FOUND if the command is not in PATH, -1 if it was killed. */
  code: number;
  stdout: string;
  stderr: string;
  /** Whether it was killed because it reached the time limit. */
  timedOut?: boolean;
}

/**
 * Runs a command with `input` on its standard input. Resolves with the outcome also when the command fails; rejects only
 * when the signal is aborted, which kills the command.
 */
export function run(
  command: string,
  args: readonly string[],
  input = '',
  signal?: AbortSignal,
  timeoutMs = TIMEOUT_MS,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    // With an aborted signal Node would start the command and then kill it.
    signal?.throwIfAborted();
    const child: ChildProcess = execFile(
      command,
      args,
      { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: MAX_OUTPUT_BYTES, ...(signal && { signal }) },
      (error, stdout, stderr) => {
        // `killCommands` has removed a command that it killed.
        const isOurs = RUNNING.delete(child);
        if (error?.name === 'AbortError') reject(error);
        else if (error === null) resolve({ code: 0, stdout, stderr });
        else if (error.code === 'ENOENT') resolve({ code: NOT_FOUND, stdout, stderr });
        else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr });
        else if (isOurs && error.killed && error.signal === 'SIGKILL')
          resolve({ code: -1, stdout, stderr: `did not end within ${timeoutMs / 1000} s`, timedOut: true });
        else resolve({ code: -1, stdout, stderr: stderr || describeEnd(error) });
      },
    );
    RUNNING.add(child);
    // EPIPE: the command exited before it read all input, and its exit code states why.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}

/** Returns whether a command is in PATH and may be run. */
export async function isInPath(command: string): Promise<boolean> {
  const directories = (process.env.PATH ?? '').split(':').filter((directory) => directory !== '');
  const found = directories.map((directory) => access(join(directory, command), constants.X_OK));
  return await Promise.any(found).then(
    () => true,
    () => false,
  );
}

/** Kills the commands that run: Weft ends and one of them hangs. Their outcome has code -1. */
export function killCommands(): void {
  for (const child of RUNNING) {
    RUNNING.delete(child);
    child.kill('SIGKILL');
    // A process that the command started may hold these open.
    child.stdout?.destroy();
    child.stderr?.destroy();
  }
}

function describeEnd({ signal, message }: ExecFileException): string {
  return signal ? `killed by ${signal}` : message;
}

/** Returns why a command failed, in one line. */
export function reason({ code, stderr }: Outcome): string {
  if (code === NOT_FOUND) return 'command not found in PATH';
  return printable(oneLine(stderr.trim())) || `exit code ${code}`;
}
