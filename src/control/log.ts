/** Log lines on stderr. A supervisor (systemd, a container runtime) adds the time. */

export function info(message: string): void {
  process.stderr.write(`weft: ${message}\n`);
}

export function warn(message: string): void {
  process.stderr.write(`weft: warning: ${message}\n`);
}

export function error(message: string): void {
  process.stderr.write(`weft: error: ${message}\n`);
}

/** A line for --v of at least `level`. */
export function verbose(level: number, message: string): void {
  if (level <= 0) info(message);
}
