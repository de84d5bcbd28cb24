/**
 * iproute2's `ip`, the one way Weft configures the system: an operator can repeat by hand what was done, and sees the
 * same command in an error.
 */

import { NOT_FOUND, type Outcome, reason, run } from '../support/command.js';
import { UserError } from '../support/user-error.js';

async function ip(args: readonly string[], input = '', signal?: AbortSignal): Promise<Outcome> {
  const outcome = await run('ip', args, input, signal);
  if (outcome.code === NOT_FOUND)
    throw new UserError('ip: command not found in PATH; install iproute2 (apt-get install iproute2)');
  return outcome;
}

/** Runs `ip -json <args>` and returns what it printed. @throws UserError when ip refuses */
export async function ipJson<T>(...args: string[]): Promise<T[]> {
  const outcome = await ip(['-json', ...args]);
  if (outcome.code !== 0) throw new UserError(`ip ${args.join(' ')}: ${reason(outcome)}`);
  try {
    return JSON.parse(outcome.stdout.trim() || '[]') as T[];
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
  const outcome = await ip(['-force', '-batch', '-'], `${commands.join('\n')}\n`, signal);
  if (outcome.code === 0) return [];
  const failures: BatchFailure[] = [];
  let answer = '';
  // For each failure ip prints the kernel's answer, then "Command failed -:<line>".
  for (const line of outcome.stderr.split('\n')) {
    const failed = /^Command failed .*:(\d+)$/.exec(line.trim());
    if (failed === null) {
      answer = line.trim() || answer;
    } else {
      failures.push({ index: Number(failed[1]) - 1, reason: answer });
      answer = '';
    }
  }
  if (failures.length > 0) return failures;
  throw new UserError(`ip -batch: ${reason(outcome)}`);
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
