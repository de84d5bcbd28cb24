import type { Test } from 'tap';

/** Keeps log lines off the terminal until the test is over; returns them as they come. */
export function catchLog(t: Test): string[] {
  const lines: string[] = [];
  const write = process.stderr.write;
  process.stderr.write = ((text: string): boolean => {
    lines.push(text.trimEnd());
    return true;
  }) as typeof process.stderr.write;
  t.teardown(() => {
    process.stderr.write = write;
  });
  return lines;
}
