/**
 * A fake `ip`, first in PATH, that records its commands and fails on demand. It replaces iproute2 in tests of what Weft asks
 * of the system; the netns tests cover what the system does then.
 */

import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

// `-json` prints the file named after its arguments; a batch continues after failures and reports them as iproute2 does.
const SCRIPT = `#!/bin/bash
dir=\${0%/*}
answer() {
  name="$*"
  file="$dir/answers/\${name//[ \\/]/_}"
  if [ -f "$file" ]; then echo "$(<"$file")"; else echo '[]'; fi
}
if [ "$1" = -json ]; then
  echo "+ ip $*" >> "$dir/reads"
  if [ "$3" = -batch ]; then
    while read -r line; do answer "$2 $line"; done
  else
    shift
    answer "$*"
  fi
  exit 0
fi
echo "+ ip $*" >> "$dir/starts"
hang=$(<"$dir/hang")
code=0
number=0
while read -r line; do
  number=$((number + 1))
  case "$line" in "$hang"*) exec sleep 10 ;; esac
  printf '%s\\n' "$line" >> "$dir/log"
  failure="$dir/failures/\${line//[ \\/]/_}"
  if [ -f "$failure" ]; then
    echo "$(<"$failure")" >&2
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

  /** Replaces `ip` until the test ends. */
  static install(t: Test): FakeIp {
    const dir = mkdtempSync(join(tmpdir(), 'weft-fake-ip-'));
    for (const folder of ['answers', 'failures']) mkdirSync(join(dir, folder));
    for (const file of ['log', 'starts', 'reads']) writeFileSync(join(dir, file), '');
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

  /** Returns every command and note since the last call, in order, without `ip`. */
  taken(): string[] {
    const lines = this.lines('log');
    writeFileSync(join(this.dir, 'log'), '');
    return lines;
  }

  /** The number of processes so far that ran commands. */
  get starts(): number {
    return this.lines('starts').length;
  }

  /** The number of processes so far that read the kernel's state. */
  get reads(): number {
    return this.lines('reads').length;
  }

  private lines(file: string): string[] {
    return readFileSync(join(this.dir, file), 'utf8').split('\n').filter(Boolean);
  }

  /** Adds a line between the commands, for something that happens beside them. */
  note(line: string): void {
    appendFileSync(join(this.dir, 'log'), `${line}\n`);
  }

  /** Makes a command fail with the kernel's answer until `succeed`. */
  fail(command: string, answer: string): void {
    writeFileSync(join(this.dir, 'failures', fileName(command)), `RTNETLINK answers: ${answer}\n`);
  }

  succeed(command: string): void {
    rmSync(join(this.dir, 'failures', fileName(command)));
  }

  /** Makes a batch hang at a command with this prefix until it is killed, for at most 10 s. */
  hang(command: string): void {
    writeFileSync(join(this.dir, 'hang'), command);
  }

  /** Sets what `ip -json <args>` prints, also as a line of a batch (`-4 route show`). */
  answer(args: string, json: unknown): void {
    const text = typeof json === 'string' ? json : JSON.stringify(json);
    writeFileSync(join(this.dir, 'answers', fileName(args)), text);
  }
}
