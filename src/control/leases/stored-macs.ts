/**
 * The VTEP MACs of this machine, in the run directory: per VNI and family. A node whose record at the source was deleted
 * keeps its MAC, so that its peers need no new one.
 */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { FAMILIES, type PerFamily, perFamily } from '../addresses/family.js';
import { parseVtepMac } from '../addresses/mac.js';
import { type BackendConf, MAX_VNI } from '../config/net-conf.js';
import { isObject, parseObject } from '../support/json-text.js';
import { OncePerKey } from '../support/once.js';
import { readTextFile, UnreadableFile } from '../support/read-file.js';
import { TextFile } from '../support/text-file.js';
import { UserError } from '../support/user-error.js';
import type { NodeLeases } from './lease.js';

const MODE = 0o600;

/** Problems of the file, by path. */
const problems = new OncePerKey();

function macsPath(runDir: string): string {
  return join(runDir, 'vtep-macs.json');
}

/** Returns the stored MACs of the backend's VNI, as far as the file is valid. */
export async function readStoredMacs(runDir: string, backend: BackendConf): Promise<PerFamily<string>> {
  return backend.type === 'vxlan' ? ((await readAll(runDir)).get(backend.vni) ?? {}) : {};
}

/** Stores the MACs of a node's leases. Call it before the leases are published. @throws UserError */
export async function storeMacs(
  runDir: string,
  backend: BackendConf,
  { ipv4, ipv6 }: NodeLeases,
): Promise<void> {
  if (backend.type !== 'vxlan') return;
  const all = await readAll(runDir);
  const before = all.get(backend.vni) ?? {};
  const macs = { ...before, ...perFamily(FAMILIES, (family) => ({ ipv4, ipv6 })[family]?.vtepMac) };
  if (isDeepStrictEqual(macs, before)) return;
  const text = `${JSON.stringify(Object.fromEntries(all.set(backend.vni, macs)))}\n`;
  try {
    await new TextFile(macsPath(runDir), MODE).write(text);
  } catch (error) {
    throw new UserError(`--run-dir ${runDir}: cannot store the VTEP MAC there: ${(error as Error).message}`);
  }
}

/** Returns the file, which can be restored with the text that it has now. Call it once the MACs are stored. */
export async function storedMacsFile(runDir: string): Promise<TextFile> {
  const path = macsPath(runDir);
  return new TextFile(path, MODE, await readTextFile(path).catch(() => undefined));
}

/** Removes the file. */
export async function removeStoredMacs(runDir: string): Promise<void> {
  await rm(macsPath(runDir), { force: true });
}

/** Returns the MACs of every VNI. A bad file, or bad parts of it, are logged and ignored. */
async function readAll(runDir: string): Promise<Map<number, PerFamily<string>>> {
  const path = macsPath(runDir);
  try {
    const { macs, ignored } = parseStoredMacs(await readTextFile(path));
    if (ignored > 0) problems.log(path, `${path}: ignoring ${ignored} invalid entries`);
    return macs;
  } catch (error) {
    const missing = error instanceof UnreadableFile && error.isMissing;
    if (!missing) problems.log(path, `${path}: ignoring the stored VTEP MACs: ${(error as Error).message}`);
    return new Map();
  }
}

/**
 * Returns the MACs by VNI in canonical form, and how many VNIs or MACs are invalid.
 * @throws Error with the reason for a text that is no JSON object
 */
export function parseStoredMacs(text: string): { macs: Map<number, PerFamily<string>>; ignored: number } {
  const macs = new Map<number, PerFamily<string>>();
  let ignored = 0;
  for (const [vni, stored] of Object.entries(parseObject(text))) {
    if (!/^\d{1,8}$/.test(vni) || Number(vni) > MAX_VNI || !isObject(stored)) {
      ignored++;
      continue;
    }
    const valid = perFamily(FAMILIES, (family) => {
      const mac = stored[family];
      if (mac === undefined) return undefined;
      const parsed = typeof mac === 'string' ? parseVtepMac(mac) : undefined;
      if (parsed === undefined) ignored++;
      return parsed;
    });
    macs.set(Number(vni), valid);
  }
  return { macs, ignored };
}
