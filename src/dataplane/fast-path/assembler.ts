/**
 * A small assembler for eBPF (Documentation/bpf/standardization/instruction-set.rst in the kernel's source). A method
 * appends one instruction; jumps name labels. `assemble` returns struct bpf_insn, as bpf(2) takes them.
 *
 * All loads and stores are in the byte order of the machine, which is little-endian. `fromNetwork` turns what was loaded
 * from a packet around.
 */

import { BPF_INSTRUCTION_SIZE } from '../../sys/constants.js';

/**
 * A register. R0 has the result of a call and of the program. R1 to R5 have the arguments of a call, which destroys them.
 * R6 to R9 survive calls. FP is the end of 512 bytes of stack.
 */
export type Register = number & { readonly register: unique symbol };

const register = (number: number): Register => number as Register;
export const R0 = register(0);
export const R1 = register(1);
export const R2 = register(2);
export const R3 = register(3);
export const R4 = register(4);
export const R5 = register(5);
export const R6 = register(6);
export const R7 = register(7);
export const R8 = register(8);
export const R9 = register(9);
export const FP = register(10);

/** Where a jump goes. */
export type Label = symbol;

/** Bytes of a load or store. */
export type Size = 1 | 2 | 4 | 8;

/** `field(R7, 14)` is the memory at R7 + 14. */
export interface Memory {
  base: Register;
  offset: number;
}

export function at(base: Register, offset: number): Memory {
  return { base, offset };
}

/** A register, or a constant of 32 bits. */
export type Operand = Register | { constant: number };

export function constant(value: number): { constant: number } {
  return { constant: value | 0 };
}

// linux/bpf_common.h, linux/bpf.h
const SIZE: Record<Size, number> = { 1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18 };
const LOAD = 0x61; // BPF_LDX | BPF_MEM
const STORE = 0x63; // BPF_STX | BPF_MEM
const STORE_CONSTANT = 0x62; // BPF_ST | BPF_MEM
const LOAD_64 = 0x18; // BPF_LD | BPF_IMM | BPF_DW, two instructions
const PSEUDO_MAP_FD = 1;
const ALU = 0x04;
const ALU_64 = 0x07;
const JUMP = 0x05;
const JUMP_32 = 0x06; // 5.1
const BY_REGISTER = 0x08;
const CALL = 0x85;
const EXIT = 0x95;
const TO_BIG_ENDIAN = 0xdc; // BPF_ALU | BPF_END | BPF_TO_BE

const OPERATIONS = {
  add: 0x00,
  sub: 0x10,
  mul: 0x20,
  div: 0x30,
  or: 0x40,
  and: 0x50,
  lsh: 0x60,
  rsh: 0x70,
  xor: 0xa0,
};
const MOVE = 0xb0;
const CONDITIONS = { '==': 0x10, '>': 0x20, '>=': 0x30, '!=': 0x50, '<': 0xa0, '<=': 0xb0 };

export type Operation = keyof typeof OPERATIONS;
/** Comparisons are unsigned. */
export type Condition = keyof typeof CONDITIONS;

interface Instruction {
  code: number;
  destination: number;
  source: number;
  offset: number;
  constant: number;
  target?: Label;
}

export class Assembler {
  private readonly instructions: Instruction[] = [];
  private readonly labels = new Map<Label, number>();

  /** Returns a new label; `place` gives it its position. */
  label(name: string): Label {
    return Symbol(name);
  }

  /** Lets jumps to this label continue here. */
  place(label: Label): void {
    this.labels.set(label, this.instructions.length);
  }

  load(size: Size, destination: Register, { base, offset }: Memory): void {
    this.add(LOAD | SIZE[size], destination, base, offset);
  }

  store(size: Size, { base, offset }: Memory, value: Operand): void {
    if (typeof value === 'number') this.add(STORE | SIZE[size], base, value, offset);
    else this.add(STORE_CONSTANT | SIZE[size], base, 0, offset, value.constant);
  }

  move(destination: Register, value: Operand): void {
    this.compute(ALU_64 | MOVE, destination, value);
  }

  /** Sets a register to a constant of 64 bits. */
  move64(destination: Register, value: bigint): void {
    this.wide(destination, 0, Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
  }

  /** Sets a register to a map, as `map_lookup_elem` takes it. `map` is its descriptor. */
  moveMap(destination: Register, map: number): void {
    this.wide(destination, PSEUDO_MAP_FD, map, 0);
  }

  /** destination = destination <operation> value, on 64 bits. A constant is sign-extended. */
  alu(operation: Operation, destination: Register, value: Operand): void {
    this.compute(ALU_64 | OPERATIONS[operation], destination, value);
  }

  /** destination = destination <operation> value, on the lower 32 bits; the upper ones become zero. */
  alu32(operation: Operation, destination: Register, value: Operand): void {
    this.compute(ALU | OPERATIONS[operation], destination, value);
  }

  /** Reverses the lower 2 or 4 bytes between network and host order; the upper ones become zero. */
  swap(bytes: 2 | 4, destination: Register): void {
    this.add(TO_BIG_ENDIAN, destination, 0, 0, bytes * 8);
  }

  jump(target: Label): void {
    this.add(JUMP, 0, 0, 0, 0, target);
  }

  /** Compares 64 bits. A constant is sign-extended. */
  jumpIf(left: Register, condition: Condition, right: Operand, target: Label): void {
    this.branch(JUMP, left, condition, right, target);
  }

  /** Compares the lower 32 bits. */
  jumpIf32(left: Register, condition: Condition, right: Operand, target: Label): void {
    this.branch(JUMP_32, left, condition, right, target);
  }

  /** Calls a helper of the kernel (helpers.ts), with its arguments in R1 to R5. */
  call(helper: number): void {
    this.add(CALL, 0, 0, 0, helper);
  }

  /** Ends the program with R0 as its result. */
  exit(): void {
    this.add(EXIT, 0, 0, 0);
  }

  /** Returns the instructions. @throws RangeError for a label without a position */
  assemble(): Uint8Array {
    const bytes = new Uint8Array(this.instructions.length * BPF_INSTRUCTION_SIZE);
    const view = new DataView(bytes.buffer);
    this.instructions.forEach(({ code, destination, source, offset, constant, target }, index) => {
      const start = index * BPF_INSTRUCTION_SIZE;
      view.setUint8(start, code);
      view.setUint8(start + 1, destination | (source << 4));
      view.setInt16(start + 2, target === undefined ? offset : this.positionOf(target) - index - 1, true);
      view.setInt32(start + 4, constant, true);
    });
    return bytes;
  }

  private positionOf(target: Label): number {
    const position = this.labels.get(target);
    if (position === undefined) throw new RangeError(`label ${String(target.description)} has no position`);
    return position;
  }

  private compute(code: number, destination: Register, value: Operand): void {
    if (typeof value === 'number') this.add(code | BY_REGISTER, destination, value, 0);
    else this.add(code, destination, 0, 0, value.constant);
  }

  private branch(code: number, left: Register, condition: Condition, right: Operand, target: Label): void {
    const operation = code | CONDITIONS[condition];
    if (typeof right === 'number') this.add(operation | BY_REGISTER, left, right, 0, 0, target);
    else this.add(operation, left, 0, 0, right.constant, target);
  }

  private wide(destination: Register, kind: number, low: number, high: number): void {
    this.add(LOAD_64, destination, kind, 0, low);
    this.add(0, 0, 0, 0, high);
  }

  private add(
    code: number,
    destination: number,
    source: number,
    offset: number,
    constant = 0,
    target?: Label,
  ): void {
    this.instructions.push({ code, destination, source, offset, constant, ...(target && { target }) });
  }
}
