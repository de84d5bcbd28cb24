/** The internet checksum: SIMD compared with a plain loop. */

import { Checksum } from '../../src/dataplane/checksum/checksum.js';
import { Arena } from '../../src/dataplane/memory/arena.js';
import { sink, suite } from './suite.js';

const SIZES = [40, 1400, 65_000];

export function run(): void {
  const arena = new Arena(1 << 17);
  const checksum = new Checksum(arena);
  const at = arena.reserve(65_536);
  for (let i = 0; i < 65_536; i++) arena.bytes[at + i] = (i * 31) & 0xff;
  const words = new Uint16Array(arena.memory.buffer, at, 32_768);
  const cases: Record<string, () => void> = {};
  for (const size of SIZES) {
    cases[`SIMD, ${size} B`] = () => {
      sink[0] += checksum.sum(at, size);
    };
    cases[`JavaScript, 16 bits a step, ${size} B`] = () => {
      let sum = 0;
      for (let i = 0; i < size / 2; i++) sum += words[i];
      sink[0] += sum;
    };
  }
  suite('internet checksum', cases);
}
