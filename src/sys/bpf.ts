/**
 * bpf(2): maps, programs and links. Every object is a descriptor, which its owner closes. The kernel keeps an object as
 * long as a descriptor, a pin or an attachment refers to it.
 */

import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import {
  BPF_INSTRUCTION_SIZE,
  BPF_LINK_CREATE,
  BPF_LINK_UPDATE,
  BPF_MAP_CREATE,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_LOOKUP_BATCH,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_UPDATE_BATCH,
  BPF_MAP_UPDATE_ELEM,
  BPF_OBJ_GET,
  BPF_OBJ_GET_INFO_BY_FD,
  BPF_OBJ_NAME_LEN,
  BPF_OBJ_PIN,
  BPF_PROG_LOAD,
  BPF_PROG_TEST_RUN,
  BPF_PROG_TYPE_SCHED_CLS,
} from './constants.js';
import { EINVAL, ENOENT, ENOTSUPP } from './errno.js';
import { addressOf, bpf } from './ffi.js';
import { SystemError } from './system-error.js';

/** Bytes of union bpf_attr that the commands below use. The kernel accepts less and more, if the rest is zero. */
const ATTRIBUTES_SIZE = 128;
const LOG_SIZE = 256 * 1024;
/** Bytes of struct bpf_link_info up to the fields of a TCX link. */
const LINK_INFO_SIZE = 64;
/** `Apache-2.0` has no special meaning for the kernel: none of the helpers in use needs a GPL licence. */
const LICENCE = new TextEncoder().encode('Apache-2.0\0');

/** The kernel's verifier, or another check, refused a program. */
export class ProgramRefused extends SystemError {
  /** What the verifier says, line by line. */
  readonly log: readonly string[];

  constructor(name: string, result: number, log: string) {
    super(`load the BPF program ${name}`, result);
    this.log = log.split('\n').filter((line) => line !== '');
  }
}

/** Writes the fields of a union bpf_attr. All are in host byte order, little-endian. */
class Attributes {
  readonly bytes = new Uint8Array(ATTRIBUTES_SIZE);
  private readonly view = new DataView(this.bytes.buffer);

  u32(at: number, value: number): this {
    this.view.setUint32(at, value, true);
    return this;
  }

  pointer(at: number, target: Uint8Array): this {
    this.view.setBigUint64(at, addressOf(target), true);
    return this;
  }

  u64(at: number, value: bigint): this {
    this.view.setBigUint64(at, value, true);
    return this;
  }

  /** Writes a name, which may have letters, digits, `_` and `.`. */
  name(at: number, name: string): this {
    this.bytes.set(new TextEncoder().encode(name.slice(0, BPF_OBJ_NAME_LEN - 1)), at);
    return this;
  }

  readU32(at: number): number {
    return this.view.getUint32(at, true);
  }

  readI32(at: number): number {
    return this.view.getInt32(at, true);
  }

  /** Runs a command. @throws SystemError */
  run(command: number, what: string): number {
    const result = bpf(command, this.bytes);
    if (result < 0) throw new SystemError(what, result);
    return result;
  }
}

export interface MapOptions {
  type: number;
  name: string;
  keySize: number;
  valueSize: number;
  maxEntries: number;
}

/** Creates a map. Returns its descriptor. @throws SystemError */
export function createMap({ type, name, keySize, valueSize, maxEntries }: MapOptions): number {
  return new Attributes()
    .u32(0, type)
    .u32(4, keySize)
    .u32(8, valueSize)
    .u32(12, maxEntries)
    .name(28, name)
    .run(BPF_MAP_CREATE, `create the BPF map ${name}`);
}

function element(map: number, key: Uint8Array, value?: Uint8Array): Attributes {
  const attributes = new Attributes().u32(0, map).pointer(8, key);
  return value === undefined ? attributes : attributes.pointer(16, value);
}

/** Sets one entry. `value` has one value; that of a per-CPU map has one per CPU. @throws SystemError */
export function updateElement(map: number, key: Uint8Array, value: Uint8Array): void {
  element(map, key, value).run(BPF_MAP_UPDATE_ELEM, 'update a BPF map');
}

/** Removes one entry. Returns whether it existed. @throws SystemError */
export function deleteElement(map: number, key: Uint8Array): boolean {
  const result = bpf(BPF_MAP_DELETE_ELEM, element(map, key).bytes);
  if (result < 0 && result !== -ENOENT) throw new SystemError('delete from a BPF map', result);
  return result >= 0;
}

/** Reads one entry into `value`. Returns whether it exists. @throws SystemError */
export function lookUpElement(map: number, key: Uint8Array, value: Uint8Array): boolean {
  const result = bpf(BPF_MAP_LOOKUP_ELEM, element(map, key, value).bytes);
  if (result < 0 && result !== -ENOENT) throw new SystemError('read a BPF map', result);
  return result >= 0;
}

/** Sets many entries: `keys` and `values` have `count` of each, one after the other. Linux 5.6. @throws SystemError */
export function updateBatch(map: number, keys: Uint8Array, values: Uint8Array, count: number): void {
  if (count === 0) return;
  new Attributes()
    .pointer(16, keys)
    .pointer(24, values)
    .u32(32, count)
    .u32(36, map)
    .run(BPF_MAP_UPDATE_BATCH, 'update a BPF map');
}

/** Returns all entries of a map that has at most `capacity`. Linux 5.6. @throws SystemError */
export function readAll(
  map: number,
  keySize: number,
  valueSize: number,
  capacity: number,
): { key: Buffer; value: Buffer }[] {
  const keys = Buffer.alloc(capacity * keySize);
  const values = Buffer.alloc(capacity * valueSize);
  const position = new Uint8Array(8);
  const attributes = new Attributes()
    .pointer(8, position)
    .pointer(16, keys)
    .pointer(24, values)
    .u32(32, capacity)
    .u32(36, map);
  const result = bpf(BPF_MAP_LOOKUP_BATCH, attributes.bytes);
  // ENOENT: the end of the map.
  if (result < 0 && result !== -ENOENT) throw new SystemError('read a BPF map', result);
  return Array.from({ length: attributes.readU32(32) }, (_, index) => ({
    key: keys.subarray(index * keySize, (index + 1) * keySize),
    value: values.subarray(index * valueSize, (index + 1) * valueSize),
  }));
}

/** Most bytes that one call of `readArray` reads. */
const BATCH_BYTES = 1 << 20;

/**
 * Reads the first `length` values of an array in pieces, in order, and passes each piece on. A value of a per-CPU array
 * has one part per CPU. Returns whether the kernel can do that: Linux 5.6, for per-CPU arrays 5.13. @throws SystemError
 */
export function readArray(
  map: number,
  valueSize: number,
  length: number,
  onValues: (values: Uint8Array, count: number) => void,
): boolean {
  const most = Math.max(1, Math.min(length, Math.floor(BATCH_BYTES / valueSize)));
  const keys = new Uint8Array(4 * most);
  const values = new Uint8Array(valueSize * most);
  const position = new Uint8Array(8);
  for (let read = 0; read < length; ) {
    const attributes = new Attributes()
      .pointer(8, position)
      .pointer(16, keys)
      .pointer(24, values)
      .u32(32, Math.min(most, length - read))
      .u32(36, map);
    if (read > 0) attributes.pointer(0, position);
    const result = bpf(BPF_MAP_LOOKUP_BATCH, attributes.bytes);
    if (read === 0 && (result === -EINVAL || result === -ENOTSUPP)) return false;
    if (result < 0 && result !== -ENOENT) throw new SystemError('read a BPF map', result);
    const count = attributes.readU32(32);
    onValues(values, count);
    read += count;
    // ENOENT: the end of the map.
    if (result < 0 || count === 0) break;
  }
  return true;
}

/** Loads a program for the traffic control hooks. Returns its descriptor. @throws ProgramRefused */
export function loadProgram(name: string, instructions: Uint8Array): number {
  const attributes = (): Attributes =>
    new Attributes()
      .u32(0, BPF_PROG_TYPE_SCHED_CLS)
      .u32(4, instructions.length / BPF_INSTRUCTION_SIZE)
      .pointer(8, instructions)
      .pointer(16, LICENCE)
      .name(48, name);
  const result = bpf(BPF_PROG_LOAD, attributes().bytes);
  if (result >= 0) return result;
  // The log costs time and memory, so only a refused program is loaded with it.
  const log = new Uint8Array(LOG_SIZE);
  const again = bpf(BPF_PROG_LOAD, attributes().u32(24, 1).u32(28, LOG_SIZE).pointer(32, log).bytes);
  if (again >= 0) return again;
  throw new ProgramRefused(name, result, new TextDecoder().decode(log.subarray(0, log.indexOf(0))));
}

export interface TestRun {
  /** The program's return value, signed. */
  result: number;
  frame: Uint8Array;
}

/** What a test run may set of the packet's struct __sk_buff. */
export interface TestContext {
  ifindex?: number;
  gsoSize?: number;
  gsoSegs?: number;
  /** For a packet with gsoSize. */
  wireLength?: number;
}

/** Bytes and offsets of struct __sk_buff. */
const CONTEXT_SIZE = 192;
const CONTEXT = { ifindex: 40, wireLength: 160, gsoSegs: 164, gsoSize: 176 } as const;

/** Runs a program once on an Ethernet frame of at least 14 bytes. @throws SystemError */
export function testRun(program: number, frame: Uint8Array, context: TestContext = {}): TestRun {
  const out = new Uint8Array(frame.length + 256);
  const attributes = new Attributes()
    .u32(0, program)
    .u32(8, frame.length)
    .u32(12, out.length)
    .pointer(16, frame)
    .pointer(24, out)
    .u32(32, 1);
  const given = new Uint8Array(CONTEXT_SIZE);
  const view = new DataView(given.buffer);
  for (const [name, at] of Object.entries(CONTEXT))
    view.setUint32(at, context[name as keyof typeof CONTEXT] ?? 0, true);
  if (Object.keys(context).length > 0) attributes.u32(40, CONTEXT_SIZE).pointer(48, given);
  attributes.run(BPF_PROG_TEST_RUN, 'run a BPF program');
  return { result: attributes.readI32(4), frame: out.slice(0, attributes.readU32(12)) };
}

function path(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** Pins an object under a name in a BPF file system; it exists as long as the name does. @throws SystemError */
export function pin(fd: number, name: string): void {
  new Attributes().pointer(0, path(name)).u32(8, fd).run(BPF_OBJ_PIN, `pin ${name}`);
}

/** Returns the descriptor of a pinned object; undefined if nothing has this name. @throws SystemError */
export function openPinned(name: string): number | undefined {
  const attributes = new Attributes().pointer(0, path(name));
  const result = bpf(BPF_OBJ_GET, attributes.bytes);
  if (result === -ENOENT) return undefined;
  if (result < 0) throw new SystemError(`open ${name}`, result);
  return result;
}

/** Attaches a program behind those that a TCX hook has. Returns the link. Linux 6.6. @throws SystemError */
export function createLink(program: number, ifindex: number, attachType: number): number {
  return new Attributes()
    .u32(0, program)
    .u32(4, ifindex)
    .u32(8, attachType)
    .run(BPF_LINK_CREATE, 'attach a BPF program');
}

/** Replaces the program of a link in one step. @throws SystemError */
export function updateLink(link: number, program: number): void {
  new Attributes().u32(0, link).u32(4, program).run(BPF_LINK_UPDATE, 'replace a BPF program');
}

export interface LinkInfo {
  type: number;
  program: number;
  /** TCX: the interface and the hook; 0 once the interface is gone or the link was detached. */
  ifindex: number;
  attachType: number;
}

/** Returns what a link is. @throws SystemError for something else than a link */
export function linkInfo(link: number): LinkInfo {
  // struct bpf_link_info: type u32, id u32, prog_id u32, then the fields of the type @16.
  const view = infoOf(link, LINK_INFO_SIZE);
  return {
    type: view.getUint32(0, true),
    program: view.getUint32(8, true),
    ifindex: view.getUint32(16, true),
    attachType: view.getUint32(20, true),
  };
}

/** Returns the kernel's id of a program. @throws SystemError */
export function programId(program: number): number {
  // struct bpf_prog_info: type u32, id u32
  return infoOf(program, 8).getUint32(4, true);
}

function infoOf(fd: number, size: number): DataView {
  const info = new Uint8Array(size);
  new Attributes().u32(0, fd).u32(4, size).pointer(8, info).run(BPF_OBJ_GET_INFO_BY_FD, 'read a BPF object');
  return new DataView(info.buffer);
}

/** Returns how many values an entry of a per-CPU map has: one per possible CPU, also of one that is off. */
export function possibleCpus(): number {
  try {
    const last = /(\d+)\s*$/.exec(readFileSync('/sys/devices/system/cpu/possible', 'utf8'));
    return Number(last?.[1] ?? 0) + 1;
  } catch {
    return availableParallelism();
  }
}
