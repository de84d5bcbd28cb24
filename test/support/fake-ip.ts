/**
 * A fake `ip`, first in PATH, that records its commands and fails those that a test chooses. It replaces iproute2
 * in tests of Weft's requests to the system; the netns tests cover their effects.
 */

import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

// `-json` prints the file named after its arguments; a batch continues after failures and reports them as iproute2
// does.
const SCRIPT = `#!/bin/sh
dir=$(dirname "$0")
if [ "$1" = -json ]; then
  shift
  answer="$dir/answers/$(printf %s "$*" | tr ' /' '__')"
  if [ -f "$answer" ]; then cat "$answer"; else echo '[]'; fi
  exit 0
fi
echo "+ ip $*" >> "$dir/starts"
hang=$(cat "$dir/hang")
code=0
number=0
while read -r line; do
  number=$((number + 1))
  case "$line" in "$hang"*) exec sleep 10 ;; esac
  printf '%s\\n' "$line" >> "$dir/log"
  failure="$dir/failures/$(printf %s "$line" | tr ' /' '__')"
  if [ -f "$failure" ]; then
    cat "$failure" >&2
    echo "Command failed -:$number" >&2
    code=1
  fi
done
exit $code
`;

function fileName(command: string): string {
  return command.replaceAll(/[ /]/g, '_');
}

export class FakeIp {
  private readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** Replaces `ip` until the test is over. */
  static install(t: Test): FakeIp {
    const dir = mkdtempSync(join(tmpdir(), 'weft-fake-ip-'));
    for (const folder of ['answers', 'failures']) mkdirSync(join(dir, folder));
    for (const file of ['log', 'starts']) writeFileSync(join(dir, file), '');
    writeFileSync(join(dir, 'hang'), 'nothing begins like this');
    writeFileSync(join(dir, 'ip'), SCRIPT, { mode: 0o755 });
    const path = process.env.PATH;
    process.env.PATH = `${dir}:${path}`;
    t.teardown(() => {
      process.env.PATH = path;
      rmSync(dir, { recursive: true });
    });
    return new FakeIp(dir);
  }

  /** Returns every command since the last call, in order and without `ip`, and the notes in between. */
  taken(): string[] {
    const lines = readFileSync(join(this.dir, 'log'), 'utf8').split('\n').filter(Boolean);
    writeFileSync(join(this.dir, 'log'), '');
    return lines;
  }

  /** Returns the number of processes started so far. */
  get starts(): number {
    return readFileSync(join(this.dir, 'starts'), 'utf8').split('\n').filter(Boolean).length;
  }

  /** Adds a line to the commands, for an event between them. */
  note(line: string): void {
    appendFileSync(join(this.dir, 'log'), `${line}\n`);
  }

  /** Makes a command fail with the kernel's answer until `mend` is called. */
  fail(command: string, answer: string): void {
    writeFileSync(join(this.dir, 'failures', fileName(command)), `RTNETLINK answers: ${answer}\n`);
  }

  mend(command: string): void {
    rmSync(join(this.dir, 'failures', fileName(command)));
  }

  /** Makes a batch hang at a command with this beginning until it is killed, for 10 s at most. */
  hang(command: string): void {
    writeFileSync(join(this.dir, 'hang'), command);
  }

  /** Sets what `ip -json <args>` prints. */
  answer(args: string, json: unknown): void {
    const text = typeof json === 'string' ? json : JSON.stringify(json);
    writeFileSync(join(this.dir, 'answers', fileName(args)), text);
  }
}
