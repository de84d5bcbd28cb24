// The time that every file of a release has, so that two runs write the same bytes.

import { lutimesSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { run, SetupError } from '../run.mjs';

/**
 * Returns seconds since 1970: SOURCE_DATE_EPOCH if it is set, else the time of the last commit.
 * @returns {Promise<number>}
 */
export async function sourceDate() {
  const given = process.env.SOURCE_DATE_EPOCH;
  if (given !== undefined) {
    if (/^\d+$/.test(given)) return Number(given);
    throw new SetupError(`SOURCE_DATE_EPOCH='${given}' is not a number of seconds since 1970`);
  }
  try {
    return Number(await run(['git', 'log', '-1', '--format=%ct']));
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    throw new SetupError('this folder has no git history to date the release by: set SOURCE_DATE_EPOCH');
  }
}

/** Sets the times of a folder and of everything below it. */
export function dateAll(folder, seconds) {
  for (const name of readdirSync(folder, { recursive: true }))
    lutimesSync(join(folder, name), seconds, seconds);
  lutimesSync(folder, seconds, seconds);
}
