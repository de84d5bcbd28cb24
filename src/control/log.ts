/** Log lines on stderr. A supervisor (systemd, a container runtime) adds the time. */

export function info(message: string): void {
  process.stderr.write(`weft: ${message}\n`);
}

export function warn(message: string): void {
  process.stderr.write(`weft: warning: ${message}\n`);
}
