/**
 * The VTEP MACs of this machine, in the run directory: per VNI and family. A node whose record at the source was deleted
 * keeps its MAC, so that its peers need no new one.
 */

import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { FAMILIES, type PerFamily, perFamily } from '../addresses/family.js';
import { parseVtepMac } from '../addresses/mac.js';
import type { BackendConf } from '../config/net-conf.js';
import { TextFile } from '../support/text-file.js';
import { UserError } from '../support/user-error.js';
import type { NodeLeases } from './lease.js';

function macsPath(runDir: string): string {
  return join(runDir, 'vtep-macs.json');
}

/** Returns the stored MACs of the backend's VNI, as far as the file is valid. */
export async function readStoredMacs(runDir: string, backend: BackendConf): Promise<PerFamily<string>> {
  return backend.type === 'vxlan' ? macsOf(await readAll(runDir), backend.vni) : {};
}

/** Stores the MACs of a node's leases. Call it before the leases are published. @throws UserError */
export async function storeMacs(
  runDir: string,
  backend: BackendConf,
  { ipv4, ipv6 }: NodeLeases,
): Promise<void> {
  if (backend.type !== 'vxlan') return;
  const all = await readAll(runDir);
  const before = macsOf(all, backend.vni);
  const macs = { ...before, ...perFamily(FAMILIES, (family) => ({ ipv4, ipv6 })[family]?.vtepMac) };
  if (isDeepStrictEqual(macs, before)) return;
  const path = macsPath(runDir);
  const temporary = `${path}.tmp`;
  try {
    await mkdir(runDir, { recursive: true, mode: 0o755 });
    await writeFile(temporary, `${JSON.stringify({ ...all, [backend.vni]: macs })}\n`, { mode: 0o600 });
    await rename(temporary, path);
  } catch (error) {
    throw new UserError(`--run-dir ${runDir}: cannot store the VTEP MAC there: ${(error as Error).message}`);
  }
}

/** Returns the file, which can be restored with the text that it has now. Call it once the MACs are stored. */
export async function storedMacsFile(runDir: string): Promise<TextFile> {
  const path = macsPath(runDir);
  return new TextFile(path, 0o600, await readFile(path, 'utf8').catch(() => undefined));
}

/** Removes the file. */
export async function removeStoredMacs(runDir: string): Promise<void> {
  await rm(macsPath(runDir), { force: true });
}

/** Returns the content of the file: an object, empty if the file is missing or invalid. */
async function readAll(runDir: string): Promise<Record<string, unknown>> {
  try {
    const content: unknown = JSON.parse(await readFile(macsPath(runDir), 'utf8'));
    return typeof content === 'object' && content !== null ? { ...content } : {};
  } catch {
    return {};
  }
}

function macsOf(all: Record<string, unknown>, vni: number): PerFamily<string> {
  const macs = all[vni] as Record<string, unknown> | null | undefined;
  return perFamily(FAMILIES, (family) => {
    const mac = macs?.[family];
    return typeof mac === 'string' ? parseVtepMac(mac) : undefined;
  });
}
