/** Fuzzing of a parser: mutated texts, and what must hold for each. */

import { UsageError } from '../../../src/cli/go-flags.js';
import { UserError } from '../../../src/control/support/user-error.js';
import { Random } from '../random.js';
import type { FuzzFailure, Target } from '../target.js';
import { mutate } from './mutate.js';

/** Inputs of one seed. */
const INPUTS = 1000;
/** The most processor time for one input: a parser that is not linear in its input exceeds it by far. */
const MOST_MS = 3000;

export interface Parser {
  name: string;
  /** Valid texts. */
  seeds: readonly string[];
  json: boolean;
  /** Parses a text and checks the result. @throws UserError or UsageError for a text that is refused */
  check(text: string): Promise<void> | void;
}

/** The text is the input in JSON, so that it survives control characters. */
class TextFailure extends Error implements FuzzFailure {
  readonly text: string;

  constructor(reason: string, input: string) {
    super(reason);
    this.text = `${JSON.stringify(input)}\n`;
  }
}

/** Returns why the parser handles a text wrongly, or undefined. */
async function problemOf(parser: Parser, text: string): Promise<string | undefined> {
  const start = process.cpuUsage();
  try {
    await parser.check(text);
  } catch (error) {
    if (!(error instanceof UserError || error instanceof UsageError))
      return String((error as Error).stack ?? error);
    if (/[\n\r]/.test(error.message)) return `more than one line: ${JSON.stringify(error.message)}`;
    if (error.message.length > 2000)
      return `${error.message.length} characters: ${error.message.slice(0, 200)}`;
  }
  const { user, system } = process.cpuUsage(start);
  const ms = (user + system) / 1000;
  return ms > MOST_MS ? `${Math.round(ms)} ms for ${text.length} characters` : undefined;
}

export function textTarget(parser: Parser): Target {
  return {
    name: parser.name,
    async run(seed, limit) {
      const random = new Random(seed);
      let done = 0;
      for (; done < Math.min(INPUTS, limit); done++) {
        const text = mutate(random, random.pick(parser.seeds), random.pick(parser.seeds), parser.json);
        const problem = await problemOf(parser, text);
        if (problem !== undefined) throw new TextFailure(problem, text);
      }
      return done;
    },
    replay(text) {
      const input = text.split('\n').find((line) => line.startsWith('"'));
      return problemOf(parser, JSON.parse(input ?? '""') as string);
    },
  };
}
