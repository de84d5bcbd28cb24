import type { Test } from 'tap';

/** Keeps what goes to stderr off the terminal until the test is over; returns it line by line as it comes. */
export function catchStderr(t: Test): string[] {
  const lines: string[] = [];
  catchLines(t, (line) => lines.push(line));
  return lines;
}

/** Keeps log lines off the terminal until the test is over; returns them as `W message`, severity and all, as they come. */
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
