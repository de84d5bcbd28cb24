/** Checks `weft status --json` against docs/status.schema.json. */

import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';

/** dist/test/support/status-schema.js → repository */
const SCHEMA = new URL('../../../docs/status.schema.json', import.meta.url);

/** Returns the schema, in which no object may have a key that the schema does not name. */
function closed(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(closed);
  if (typeof part !== 'object' || part === null) return part;
  const fields = Object.fromEntries(Object.entries(part).map(([key, field]) => [key, closed(field)]));
  return 'properties' in part && !('additionalProperties' in part)
    ? { ...fields, additionalProperties: false }
    : fields;
}

const validate = new Ajv({
  allErrors: true,
  strict: true,
  strictRequired: false,
  allowUnionTypes: true,
  formats: { 'date-time': true },
}).compile(closed(JSON.parse(readFileSync(SCHEMA, 'utf8'))) as object);

/** Returns what is wrong with an answer: a key of another type, a missing one, or one that the schema does not name. */
export function schemaErrors(status: unknown): string[] {
  // As JSON, a field that is undefined does not exist.
  if (validate(JSON.parse(JSON.stringify(status)))) return [];
  return (validate.errors ?? []).map(
    ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
  );
}
