import type { Test } from 'tap';

/** Captures stderr until the test is over; returns its lines as they are written. */
export function catchStderr(t: Test): string[] {
  const lines: string[] = [];
  catchLines(t, (line) => lines.push(line));
  return lines;
}

/** Captures log lines until the test is over; returns them as `W message`, with the severity. */
export function catchLog(t: Test): string[] {
  const lines: string[] = [];
  catchLines(t, (line) => lines.push(line.replace(/^([IWE])\d{4} [^\]]*\] /, '$1 ')));
  return lines;
}

function catchLines(t: Test, onLine: (line: string) => void): void {
  const write = process.stderr.write;
  process.stderr.write = ((text: string): boolean => {
    onLine(text.trimEnd());
    return true;
  }) as typeof process.stderr.write;
  t.teardown(() => {
    process.stderr.write = write;
  });
}
