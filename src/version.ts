import { readFileSync } from 'node:fs';

/** Returns the version of the package. */
export function version(): string {
  // dist/src/version.js → package.json
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
