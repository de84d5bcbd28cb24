import { RUN_FLAGS } from '../../src/cli/flags.js';
import { type ParsedFlags, parseFlags } from '../../src/cli/go-flags.js';

/** Parses the flags of `weft run`, without the environment. @throws UsageError */
export function runFlags(...words: string[]): ParsedFlags<typeof RUN_FLAGS> {
  return parseFlags(words, RUN_FLAGS);
}
