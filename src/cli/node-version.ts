/** The required version of Node.js. This module runs in any version that has ES modules. */

const REQUIRED = [20, 12];

/** Returns the error for a version of Node.js that is too old, undefined for a supported one. */
export function nodeProblem(version: string): string | undefined {
  const [major, minor] = version.split('.').map(Number);
  const [requiredMajor, requiredMinor] = REQUIRED;
  if (major > requiredMajor || (major === requiredMajor && minor >= requiredMinor)) return undefined;
  return `Node.js ${version} is too old: Weft needs Node.js ${REQUIRED.join('.')} or newer; install it (https://nodejs.org/en/download)`;
}
