/**
 * iproute2's `ip`: Weft reads and configures the system only through it. An operator can repeat every command by hand, and
 * an error quotes the command.
 */

import { NOT_FOUND, type Outcome, reason, run } from '../support/command.js';
import { checkIpCommand, ipBatchText } from '../support/command-input.js';
import { isObject } from '../support/json-text.js';
import { UserError } from '../support/user-error.js';

async function ip(
  args: readonly string[],
  input = '',
  signal?: AbortSignal,
  timeoutMs?: number,
): Promise<Outcome> {
  const outcome = await run('ip', args, input, signal, timeoutMs);
  if (outcome.code === NOT_FOUND)
    throw new UserError('ip: command not found in PATH; install iproute2 (apt-get install iproute2)');
  return outcome;
}

/** Runs `ip -json <command>` and returns the printed array. @throws UserError if `ip` fails */
export async function ipJson<T>(command: string, signal?: AbortSignal): Promise<T[]> {
  checkIpCommand(command);
  const outcome = await ip(['-json', ...command.split(' ')], '', signal);
  if (outcome.code !== 0) throw new UserError(`ip ${command}: ${reason(outcome)}`);
  return parseIpJson<T>(outcome.stdout.trim() || '[]', command);
}

/**
 * Runs several `show` commands in one process and returns the array that each one printed. `familyFlag` is `-4` or `-6`.
 * @throws UserError if one of them fails
 */
export async function ipJsonBatch(familyFlag: string, commands: readonly string[]): Promise<unknown[][]> {
  const outcome = await ip(['-json', familyFlag, '-batch', '-'], ipBatchText(commands));
  const what = `${familyFlag} -batch (${commands.join('; ')})`;
  if (outcome.code !== 0) throw new UserError(`ip ${what}: ${reason(outcome)}`);
  const lines = outcome.stdout.split('\n').filter((line) => line.trim() !== '');
  if (lines.length !== commands.length) throw noJson(what);
  return lines.map((line) => parseIpJson(line, what));
}

/** Returns the objects of the array that `ip` printed. @throws UserError for other text */
export function parseIpJson<T>(text: string, command: string): T[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw noJson(command);
  }
  if (!Array.isArray(value)) throw noJson(command);
  return value.filter(isObject) as T[];
}

function noJson(command: string): UserError {
  return new UserError(
    `ip -json ${command} did not print JSON; install iproute2 (BusyBox's ip is not supported)`,
  );
}

/**
 * Runs many lookups in one process and returns the answers of those that succeed. @throws UserError if `ip` cannot be
 * run
 */
export async function ipLookups<T>(questions: readonly string[], signal?: AbortSignal): Promise<T[]> {
  if (questions.length === 0) return [];
  const { stdout } = await ip(['-json', '-force', '-batch', '-'], ipBatchText(questions), signal);
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('['))
    .flatMap((line) => parseIpJson<T>(line, '-batch'));
}

export interface BatchFailure {
  /** Index of the command in the batch. */
  index: number;
  reason: string;
}

/** Commands that one process gets: they take some 20 ms, so only a process that is starved reaches its time limit. */
export const CHUNK = 1000;
/** A chunk of this size that reaches the time limit is not halved again. */
const SMALLEST_CHUNK = 100;

/**
 * Runs every command (an `ip` command line without `ip`), CHUNK of them in a process. A failure does not stop the batch;
 * aborting the signal does. The halves of a chunk that reaches the time limit run again, so a command may run twice.
 * `timeoutMs` is the limit of each process. @throws UserError if `ip` cannot be run, AbortError once the signal is aborted
 */
export async function ipBatch(
  commands: readonly string[],
  signal?: AbortSignal,
  timeoutMs?: number,
): Promise<BatchFailure[]> {
  const failures: BatchFailure[] = [];
  /** `start`: the index of the first command in the batch. */
  const runChunk = async (chunk: readonly string[], start: number): Promise<void> => {
    const outcome = await ip(['-force', '-batch', '-'], ipBatchText(chunk), signal, timeoutMs);
    if (outcome.code === 0) return;
    if (outcome.timedOut !== true) {
      for (const { index, reason } of failuresIn(outcome)) failures.push({ index: start + index, reason });
    } else if (chunk.length <= SMALLEST_CHUNK) {
      chunk.forEach((_, index) => {
        failures.push({ index: start + index, reason: reason(outcome) });
      });
    } else {
      const half = Math.ceil(chunk.length / 2);
      await runChunk(chunk.slice(0, half), start);
      await runChunk(chunk.slice(half), start + half);
    }
  };
  for (let start = 0; start < commands.length; start += CHUNK) {
    await runChunk(commands.slice(start, start + CHUNK), start);
  }
  return failures;
}

/** Returns the failures of a batch that ran to its end. @throws UserError if there are none */
function failuresIn(outcome: Outcome): BatchFailure[] {
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

/** Runs commands that must all succeed. @throws UserError naming the first command that failed */
export async function ipRun(commands: readonly string[]): Promise<void> {
  const [failure] = await ipBatch(commands);
  if (failure !== undefined) throw new UserError(`ip ${commands[failure.index]}: ${failure.reason}`);
}

/** Deletes routes (the arguments of `ip route delete`); a missing route is not an error. @throws UserError without `ip` */
export async function deleteRoutes(routes: readonly string[]): Promise<void> {
  await ipBatch(routes.map((route) => `route delete ${route}`));
}
