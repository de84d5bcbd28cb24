/** Values in quotes, as YAML and env files pass them where no shell removes the quotes. */

const PAIRS = ['""', "''", '``', '“”', '‘’'];

/** Returns the remedy for a text that begins and ends with the same kind of quote; undefined for any other text. */
export function quotesRemedy(text: string): string | undefined {
  const trimmed = text.trim();
  if (trimmed.length < 2 || !PAIRS.includes(`${trimmed[0]}${trimmed.at(-1)}`)) return undefined;
  return 'the quote characters are part of the value, because no shell removes them in a manifest or an env file; write the value without them';
}
