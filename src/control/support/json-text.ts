/** JSON of unknown origin, within limits that no real file or value reaches. */

/** Nested objects and arrays: net-conf.json has three levels, `nft -j` about ten. */
export const MAX_DEPTH = 64;
/** Objects and arrays in one text: 30 000 leases have 90 000. Each takes up to twenty times its text in memory. */
export const MAX_CONTAINERS = 500_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** The error for JSON beyond the limits. The message has the reason only. */
export class JsonLimitError extends Error {}

/** Parses a text. @throws SyntaxError, JsonLimitError */
export function parseJson(text: string): unknown {
  checkLimits(text);
  return JSON.parse(text);
}

/** Parses a text that is one object. @throws Error with the reason only */
export function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    // V8's message quotes the text.
    throw error instanceof JsonLimitError ? error : new Error('it is not JSON');
  }
  if (!isObject(value)) throw new Error('it is not a JSON object');
  return value;
}

/** Whether a JSON value is an object, not null and not an array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Reads a text from start to end, whether it is JSON or not. @throws JsonLimitError */
function checkLimits(text: string): void {
  let depth = 0;
  let containers = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at);
        break;
      case OPEN_BRACKET:
      case OPEN_BRACE:
        if (++depth > MAX_DEPTH) throw new JsonLimitError(`it is nested deeper than ${MAX_DEPTH} levels`);
        if (++containers > MAX_CONTAINERS)
          throw new JsonLimitError(`it has more than ${MAX_CONTAINERS} objects and arrays`);
        break;
      case CLOSE_BRACKET:
      case CLOSE_BRACE:
        depth--;
        break;
      default:
    }
  }
}

/** Returns the index of the quote that ends a string, or the end of the text. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) return at;
    if (unit === BACKSLASH) at++;
  }
  return text.length;
}
