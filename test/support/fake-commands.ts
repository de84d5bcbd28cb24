/** Commands of a test that replace everything in PATH. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

export interface FakeCommands {
  /** Returns the lines that the commands appended to $LOG since the last call. */
  taken(): string[];
}

/**
 * Installs commands until the test is over; each is the body of a shell script without other commands than built-ins.
 */
export function fakeCommands(t: Test, commands: Readonly<Record<string, string>>): FakeCommands {
  const dir = mkdtempSync(join(tmpdir(), 'weft-fake-commands-'));
  const log = join(dir, 'log');
  writeFileSync(log, '');
  for (const [name, body] of Object.entries(commands)) {
    writeFileSync(join(dir, name), `#!/bin/sh\nLOG=${log}\n${body}\n`, { mode: 0o755 });
  }
  const path = process.env.PATH;
  process.env.PATH = dir;
  t.teardown(() => {
    process.env.PATH = path;
    rmSync(dir, { recursive: true });
  });
  return {
    taken() {
      const lines = readFileSync(log, 'utf8').split('\n').filter(Boolean);
      writeFileSync(log, '');
      return lines;
    },
  };
}
