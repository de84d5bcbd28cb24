/** Classic BPF programs for sockets (linux/filter.h, linux/bpf_common.h): what their generators have in common. */

import { SOCK_FILTER_SIZE } from '../../sys/constants.js';

export const JUMP_EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
export const JUMP_IF_SET = 0x45; // BPF_JMP | BPF_JSET | BPF_K
export const RETURN = 0x06; // BPF_RET | BPF_K

/** Jumps count from the next instruction. */
export type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, k: number];

/** Returns the program as an array of struct sock_filter. */
export function encodeFilter(program: readonly Instruction[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(program.length * SOCK_FILTER_SIZE));
  program.forEach(([code, jumpTrue, jumpFalse, k], index) => {
    const at = index * SOCK_FILTER_SIZE;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, jumpTrue);
    view.setUint8(at + 3, jumpFalse);
    view.setUint32(at + 4, k, true);
  });
  return new Uint8Array(view.buffer);
}
