/**
 * The program at the ingress hook of the joiner, behind its GRO. It passes what was joined on to the overlay device. The
 * joiner receives nothing but frames that `decapsulate-program.ts` has accepted, and those that the kernel itself sends on
 * a new device.
 */

import { Assembler, at, constant, R0, R1, R2, R6, R7 } from './assembler.js';
import { field, HELPER, REDIRECT_INGRESS, VERDICT } from './helpers.js';
import { ETHERNET, network16 } from './layout.js';

/** `overlay`: the interface index of the overlay device. `mac`: its MAC, to which all accepted frames go. */
export function joinProgram(overlay: number, mac: { high: number; low: number }): Uint8Array {
  const a = new Assembler();
  const drop = a.label('drop');
  a.move(R6, R1);
  a.load(4, R0, field(R6, 'dataEnd'));
  a.load(4, R7, field(R6, 'data'));
  a.move(R1, R7);
  a.alu('add', R1, constant(ETHERNET.type));
  a.jumpIf(R1, '>', R0, drop);
  a.load(2, R0, at(R7, ETHERNET.destination));
  a.jumpIf(R0, '!=', constant(network16(mac.high)), drop);
  a.move(R1, constant(overlay));
  a.move(R2, constant(REDIRECT_INGRESS));
  a.call(HELPER.redirect);
  a.exit();
  a.place(drop);
  a.move(R0, constant(VERDICT.drop));
  a.exit();
  return a.assemble();
}
