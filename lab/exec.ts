/** Runs short-lived commands to their end, in a network namespace if asked, and returns what they print. */

import { spawn } from 'node:child_process';

/** The output of a finished command. */
export interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExecOptions {
  /** Network namespace to run in; by default the world's own. */
  readonly netns?: string;
  /** Text for standard input. */
  readonly input?: string;
  /** Time after which SIGKILL ends it; 30 s by default. */
  readonly timeoutMs?: number;
}

/** The error of a command that did not exit with 0. Its message is one line: command, code, last line of stderr. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;

  constructor(argv: readonly string[], code: number | null, reason: string, output: Output) {
    const detail = lastLine(output.stderr) || lastLine(output.stdout);
    super(`${argv.join(' ')}: ${reason}${detail === '' ? '' : `: ${detail}`}`);
    this.code = code;
    this.stdout = output.stdout;
    this.stderr = output.stderr;
  }
}

/**
 * Returns a command line that runs in a network namespace. `ip netns exec` and `env` replace themselves, so the pid is
 * the command's own. NODE_OPTIONS is cleared: tap adds its loader to it, which doubles Weft's start-up time and adds
 * half to its memory.
 */
export function inNetns(netns: string | undefined, argv: readonly string[], nodeOptions = ''): string[] {
  const bare = ['env', `NODE_OPTIONS=${nodeOptions}`, ...argv];
  return netns === undefined ? bare : ['ip', 'netns', 'exec', netns, ...bare];
}

/** Runs a command to its end; throws CommandError unless it exits with 0. */
export function exec(argv: readonly string[], options: ExecOptions = {}): Promise<Output> {
  const [file = '', ...args] = inNetns(options.netns, argv);
  const timeoutMs = options.timeoutMs ?? 30_000;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(new CommandError(argv, null, error.message, { stdout, stderr }));
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) return resolve({ stdout, stderr });
      const reason = late ? `killed after ${timeoutMs} ms` : `exit ${code ?? signal}`;
      reject(new CommandError(argv, code, reason, { stdout, stderr }));
    });
    // A command that fails before it reads its input causes EPIPE here.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });
}

/** Returns true if a command exits with 0, false if it does not or cannot be started. */
export async function succeeds(argv: readonly string[], options: ExecOptions = {}): Promise<boolean> {
  try {
    await exec(argv, options);
    return true;
  } catch (error) {
    if (error instanceof CommandError) return false;
    throw error;
  }
}

function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? '';
}
