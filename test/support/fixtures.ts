/** Files under test/fixtures. */

import { readFileSync } from 'node:fs';
import { hex } from './bytes.js';

// dist/test/support/fixtures.js → test/fixtures/
const FIXTURES = new URL('../../../test/fixtures/', import.meta.url);

export function fixture(name: string): string {
  return readFileSync(new URL(name, FIXTURES), 'utf8');
}

/** Returns the packets of a `tcpdump -xxx` text: a description line, then lines `0x0010:  0063 0000 …`. */
export function tcpdumpPackets(text: string): Uint8Array[] {
  const packets: string[] = [];
  for (const line of text.split('\n')) {
    const found = /^\s+0x([0-9a-f]{4}):\s+(.*)$/.exec(line);
    if (found === null) continue;
    if (found[1] === '0000') packets.push('');
    packets[packets.length - 1] += found[2];
  }
  return packets.map(hex);
}
