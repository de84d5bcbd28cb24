/**
 * Rules for kernels that lack a module. Weft first writes complete rules. If the kernel refuses them, Weft leaves out as
 * little as possible, so that the other rules are in force.
 */

import { loadedModules } from './loaded-modules.js';
import type { Rule } from './rules.js';

/** What rules can do without. `table`: the kernel cannot have the table, or the chain of this type, at all. */
export type Part = 'comment' | 'mark' | 'randomFully' | 'masquerade' | 'table';

/** The parts that a kernel lacks. */
export type Missing = ReadonlySet<Part>;

export const NOTHING: Missing = new Set();

/** The kernel, or the command in its name, refuses these rules: other rules may be accepted. */
export class Refused extends Error {}

/** The kernel lacks the table: it refuses any rules. */
export class NoTable extends Refused {}

/** Returns the rules that need none of the missing parts. */
export function reduceRules(rules: readonly Rule[], missing: Missing): Rule[] {
  if (missing.has('table')) return [];
  return rules.filter(
    ({ marked, verdict }) =>
      !(marked && missing.has('mark')) && !(verdict === 'masquerade' && missing.has('masquerade')),
  );
}

/** Returns every choice of parts to leave out, the smallest ones first. */
export function choicesOf(parts: readonly Part[]): Missing[] {
  let choices: Part[][] = [[]];
  for (const part of parts) choices = [...choices, ...choices.map((choice) => [...choice, part])];
  return choices
    .filter((choice) => !(choice.includes('masquerade') && choice.includes('randomFully')))
    .sort((one, other) => one.length - other.length)
    .map((choice) => new Set(choice));
}

/** Returns the parts that these rules use, without their table. */
export function partsOf(
  rules: readonly Rule[],
  { comments, randomFully }: { comments: boolean; randomFully: boolean },
): Part[] {
  const masquerades = rules.some(({ verdict }) => verdict === 'masquerade');
  return [
    ...(comments ? (['comment'] as const) : []),
    ...(rules.some(({ marked }) => marked) ? (['mark'] as const) : []),
    ...(masquerades && randomFully ? (['randomFully'] as const) : []),
    ...(masquerades ? (['masquerade'] as const) : []),
  ];
}

/** The search for the most complete rules that the kernel accepts, and its last result. */
export class Reduction {
  /** What the rules that were accepted last do without. */
  missing: Missing = NOTHING;
  /** The refusal of the complete rules, with the modules that were loaded then. */
  private refusal: string | undefined;

  /**
   * Attempts each choice until the kernel accepts one. An attempt that is refused must change nothing. If the complete
   * rules are refused as before, with the same modules, the earlier result stands and nothing is written.
   *
   * @throws the refusal of the complete rules if every choice is refused; at once any error that is no Refused
   */
  async retry(choices: readonly Missing[], attempt: (missing: Missing) => Promise<void>): Promise<void> {
    const refusal = await refusalOf(() => attempt(NOTHING));
    if (refusal === undefined) return this.accept(NOTHING, undefined);
    if (refusal instanceof NoTable) throw refusal;
    const state = `${refusal.message}\n${await loadedModules()}`;
    if (state === this.refusal) return;
    for (const choice of choices) {
      if (choice.size === 0 || (await refusalOf(() => attempt(choice))) !== undefined) continue;
      return this.accept(choice, state);
    }
    throw refusal;
  }

  /** As `retry`, but always writes. */
  async search(choices: readonly Missing[], attempt: (missing: Missing) => Promise<void>): Promise<void> {
    this.refusal = undefined;
    await this.retry(choices, attempt);
  }

  /** Records that no rule can be written, because the kernel lacks the table. */
  loseTable(): void {
    this.accept(new Set(['table']), undefined);
  }

  private accept(missing: Missing, refusal: string | undefined): void {
    this.missing = missing;
    this.refusal = refusal;
  }
}

async function refusalOf(attempt: () => Promise<void>): Promise<Refused | undefined> {
  try {
    await attempt();
    return undefined;
  } catch (error) {
    if (error instanceof Refused) return error;
    throw error;
  }
}
