/** Short-lived commands: run to the end, inside a network namespace or not, and hand back what they printed. */

import { spawn } from 'node:child_process';

/** What a finished command left. */
export interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExecOptions {
  /** Network namespace to run in; the world's own when left out. */
  readonly netns?: string;
  /** Text for standard input. */
  readonly input?: string;
  /** SIGKILL after this long; 30 s when left out. */
  readonly timeoutMs?: number;
}

/** A command that did not end with exit code 0. The message is one line: command, code, last line of stderr. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;

  constructor(argv: readonly string[], code: number | null, reason: string, output: Output) {
    const said = lastLine(output.stderr) || lastLine(output.stdout);
    super(`${argv.join(' ')}: ${reason}${said === '' ? '' : `: ${said}`}`);
    this.code = code;
    this.stdout = output.stdout;
    this.stderr = output.stderr;
  }
}

/**
 * Puts a command line into a network namespace. `ip netns exec` and `env` replace themselves: the pid is the command's
 * own. What a test runner has every Node load (tap adds it to NODE_OPTIONS whatever the environment) is left out: a weft
 * would start in twice the time and take half as much memory again.
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
      const reason = late ? `no end after ${timeoutMs} ms` : `exit ${code ?? signal}`;
      reject(new CommandError(argv, code, reason, { stdout, stderr }));
    });
    // A command that fails before reading its input must not take us down with EPIPE.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });
}

/** True when a command ends with exit code 0, false when it does not or cannot be started. */
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
