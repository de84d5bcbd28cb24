/** Validates the report of `weft doctor --json` against the documented schema. */

import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { Test } from 'tap';
import { DIST } from '../../../lab/world.js';

const SCHEMA = JSON.parse(readFileSync(`${DIST}../docs/doctor.schema.json`, 'utf8')) as object;
const validate = new Ajv2020({ strict: true, allErrors: true }).compile(SCHEMA);

export function assertSchema(t: Pick<Test, 'ok'>, report: unknown): void {
  const isValid = validate(report);
  t.ok(isValid, `the report has the documented keys${isValid ? '' : `: ${JSON.stringify(validate.errors)}`}`);
}
