import { Command } from 'commander';
import { RUN_FLAGS, type RunFlags } from '../../src/cli/flags.js';
import { addFlags, flagsOf, spellOut } from '../../src/cli/go-flags.js';

/** Parses a command line of `weft run`, without the environment. @throws UsageError */
export function runFlags(...words: string[]): { values: RunFlags; given: ReadonlySet<string> } {
  const command = addFlags(new Command('run').exitOverride(), 'flags', RUN_FLAGS);
  command.parse(spellOut(words, RUN_FLAGS), { from: 'user' });
  return flagsOf(command, RUN_FLAGS);
}
