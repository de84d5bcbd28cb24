/** Generates and loads the three programs of a node. */

import { loadProgram } from '../../sys/bpf.js';
import { close } from '../../sys/ffi.js';
import { kernelVersion } from '../../sys/kernel-version.js';
import { type DecapsulateConfig, decapsulateProgram } from './decapsulate-program.js';
import { encapsulateProgram } from './encapsulate-program.js';
import { joinProgram } from './join-program.js';
import { keepsSuperpackets } from './superpackets.js';
import type { Tables } from './tables.js';

/** What the programs have as constants. */
export interface ProgramConfig extends DecapsulateConfig {
  /** Interface index of the overlay device. */
  overlay: number;
}

/** Descriptors of the programs, by the place where they are attached. */
export interface Programs {
  in: number;
  out: number;
  join: number;
}

/**
 * Loads the programs. The caller closes them. `isKept`: whether the kernel keeps TCP superpackets whole behind the tunnel.
 * @throws SystemError; then nothing is left open
 */
export function loadPrograms(
  config: ProgramConfig,
  tables: Tables,
  isKept = keepsSuperpackets(kernelVersion()),
): Programs {
  const code: Record<keyof Programs, Uint8Array> = {
    in: decapsulateProgram(config, tables, isKept),
    out: encapsulateProgram(config, tables),
    join: joinProgram(config.overlay, config.mac),
  };
  const loaded: Partial<Programs> = {};
  try {
    for (const name of ['in', 'out', 'join'] as const) loaded[name] = loadProgram(`weft_${name}`, code[name]);
  } catch (error) {
    closePrograms(loaded);
    throw error;
  }
  return loaded as Programs;
}

export function closePrograms(programs: Partial<Programs>): void {
  for (const program of Object.values(programs)) close(program);
}
