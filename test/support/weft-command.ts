/** The weft command as a process, for tests that need no node. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const WEFT = fileURLToPath(new URL('../../src/cli/weft.js', import.meta.url));

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs weft to its end. */
export function weft(...args: readonly string[]): Promise<Outcome> {
  return weftWith({}, ...args);
}

/** Runs weft with these variables, and none of the tests but PATH. */
export function weftWith(environment: NodeJS.ProcessEnv, ...args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { env: { PATH: process.env.PATH, ...environment } };
    execFile(process.execPath, [WEFT, ...args], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}
