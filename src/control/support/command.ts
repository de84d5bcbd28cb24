/** Runs the system's own commands (ip, iptables, nft): each in a process of its own, with an end in sight. */

import { type ExecFileException, execFile } from 'node:child_process';

/** As a shell has it: there is no such command in PATH. */
export const NOT_FOUND = 127;

/** Whatever keeps a command this long, beyond its own waiting for a lock, will keep it for good. */
const TIMEOUT_MS = 60_000;

const MOST_OUTPUT = 64 << 20;

export interface Outcome {
  /** Exit code; NOT_FOUND without such a command, -1 when it had to be killed. */
  code: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs a command to its end with this on its standard input. Never rejects for what the command does; with the signal's
 * AbortError when that has killed it or was aborted before.
 */
export function run(
  command: string,
  args: readonly string[],
  input = '',
  signal?: AbortSignal,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    // Node would start the command first, and then kill it.
    signal?.throwIfAborted();
    const child = execFile(
      command,
      args,
      { timeout: TIMEOUT_MS, killSignal: 'SIGKILL', maxBuffer: MOST_OUTPUT, ...(signal && { signal }) },
      (error, stdout, stderr) => {
        if (error?.name === 'AbortError') reject(error);
        else if (error === null) resolve({ code: 0, stdout, stderr });
        else if (error.code === 'ENOENT') resolve({ code: NOT_FOUND, stdout, stderr });
        else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr });
        else resolve({ code: -1, stdout, stderr: stderr || endOf(error) });
      },
    );
    // A command that ends before it has read everything says why in its exit code.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}

function endOf({ killed, signal, message }: ExecFileException): string {
  return killed ? `no end after ${TIMEOUT_MS / 1000} s` : `ended by ${signal ?? message}`;
}

/** Why a command failed, in one line, for a message. */
export function reason({ code, stderr }: Outcome): string {
  if (code === NOT_FOUND) return 'command not found in PATH';
  return stderr.trim().replaceAll(/\s*\n\s*/g, ' ') || `exit code ${code}`;
}
