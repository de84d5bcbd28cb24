/**
 * iproute2's `ip`, the one way Weft configures the system: an operator can repeat by hand what was done, and sees the
 * same command in an error.
 */

import { spawn } from 'node:child_process';
import { UserError } from '../user-error.js';

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

function ip(args: readonly string[], input = '', signal?: AbortSignal): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn('ip', args, { stdio: ['pipe', 'pipe', 'pipe'], ...(signal && { signal }) });
    const outcome: Outcome = { code: null, stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      outcome.stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      outcome.stderr += text;
    });
    child.on('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'ENOENT'
          ? new UserError('ip: command not found in PATH; install iproute2 (apt-get install iproute2)')
          : error,
      );
    });
    child.on('close', (code) => resolve({ ...outcome, code }));
    // An ip that ends before it has read everything says why in its exit code.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

/** Runs `ip -json <args>` and returns what it printed. @throws UserError when ip refuses */
export async function ipJson<T>(...args: string[]): Promise<T[]> {
  const { code, stdout, stderr } = await ip(['-json', ...args]);
  if (code !== 0) throw new UserError(`ip ${args.join(' ')}: ${stderr.trim() || `exit code ${code}`}`);
  try {
    return JSON.parse(stdout.trim() || '[]') as T[];
  } catch {
    throw new UserError(
      `ip -json ${args.join(' ')} printed no JSON; install iproute2 (BusyBox's ip cannot be used)`,
    );
  }
}

/** Asks many questions in one process; what cannot be answered has no answer. @throws UserError when ip cannot be run */
export async function ipLookups<T>(questions: readonly string[]): Promise<T[]> {
  if (questions.length === 0) return [];
  const { stdout } = await ip(['-json', '-force', '-batch', '-'], `${questions.join('\n')}\n`);
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('['))
    .flatMap((line) => JSON.parse(line) as T[]);
}

export interface BatchFailure {
  /** Index of the command in the batch. */
  index: number;
  reason: string;
}

/**
 * Runs every command (each an `ip` command line without `ip`) in one process, going on after failures. Aborting the
 * signal kills it half-way. @throws UserError when ip cannot be run, AbortError when it was aborted
 */
export async function ipBatch(commands: readonly string[], signal?: AbortSignal): Promise<BatchFailure[]> {
  if (commands.length === 0) return [];
  const { code, stderr } = await ip(['-force', '-batch', '-'], `${commands.join('\n')}\n`, signal);
  if (code === 0) return [];
  const failures: BatchFailure[] = [];
  let reason = '';
  // For each failure ip prints the kernel's answer, then "Command failed -:<line>".
  for (const line of stderr.split('\n')) {
    const failed = /^Command failed .*:(\d+)$/.exec(line.trim());
    if (failed === null) {
      reason = line.trim() || reason;
    } else {
      failures.push({ index: Number(failed[1]) - 1, reason });
      reason = '';
    }
  }
  if (failures.length > 0) return failures;
  throw new UserError(`ip -batch: ${stderr.trim() || `exit code ${code}`}`);
}

/** Runs commands that must all succeed. @throws UserError with the first command that failed */
export async function ipRun(commands: readonly string[]): Promise<void> {
  const [failure] = await ipBatch(commands);
  if (failure !== undefined) throw new UserError(`ip ${commands[failure.index]}: ${failure.reason}`);
}

/** Deletes routes (what follows `ip route delete`); one that is not there is no failure. @throws UserError without ip */
export async function deleteRoutes(routes: readonly string[]): Promise<void> {
  await ipBatch(routes.map((route) => `route delete ${route}`));
}
