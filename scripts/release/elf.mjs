// Reads from an ELF file what the dynamic linker needs: the interpreter and the libraries. It runs no program of the
// file's architecture. Layouts are those of elf.h, for 64-bit little-endian files.

/** Elf64_Ehdr: e_machine, and where the program headers are. */
const EHDR = { machine: 18, phoff: 32, phentsize: 54, phnum: 56 };
/** Elf64_Phdr */
const PHDR = { type: 0, offset: 8, vaddr: 16, filesz: 32 };
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
/** Elf64_Dyn: a tag and a value of 8 bytes each. */
const DYN_BYTES = 16;
const DT_NULL = 0;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
/** Debian's names of values of e_machine. */
const ARCHITECTURES = { 62: 'amd64', 183: 'arm64' };

/** Returns whether a file begins like an ELF file. */
export function isElf(data) {
  return data.length >= 4 && data.readUInt32BE(0) === 0x7f454c46;
}

/**
 * Returns what an ELF file needs. @throws Error for another layout
 * @param {Buffer} data
 * @returns {{ arch: string, interpreter: string | undefined, needed: string[] }}
 */
export function readElf(data) {
  // EI_CLASS 2 is 64-bit, EI_DATA 1 is little-endian.
  if (!isElf(data) || data[4] !== 2 || data[5] !== 1) throw new Error('no 64-bit little-endian ELF file');
  const machine = data.readUInt16LE(EHDR.machine);
  const segments = segmentsOf(data);
  const interpreter = segments.find(({ type }) => type === PT_INTERP);
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  return {
    arch: ARCHITECTURES[machine] ?? `machine ${machine}`,
    interpreter: interpreter && textAt(data, interpreter.offset),
    needed: dynamic === undefined ? [] : librariesOf(data, dynamic, segments),
  };
}

function segmentsOf(data) {
  const start = number(data, EHDR.phoff);
  const size = data.readUInt16LE(EHDR.phentsize);
  return Array.from({ length: data.readUInt16LE(EHDR.phnum) }, (_, index) => {
    const at = start + index * size;
    return {
      type: data.readUInt32LE(at + PHDR.type),
      offset: number(data, at + PHDR.offset),
      address: number(data, at + PHDR.vaddr),
      size: number(data, at + PHDR.filesz),
    };
  });
}

function librariesOf(data, { offset, size }, segments) {
  const names = [];
  let strings = 0;
  for (let at = offset; at < offset + size; at += DYN_BYTES) {
    const tag = number(data, at);
    const value = number(data, at + 8);
    if (tag === DT_NULL) break;
    if (tag === DT_NEEDED) names.push(value);
    if (tag === DT_STRTAB) strings = offsetOf(value, segments);
  }
  return names.map((name) => textAt(data, strings + name));
}

/** Converts an address in memory into an offset in the file. */
function offsetOf(address, segments) {
  const inside = (segment) =>
    segment.type === PT_LOAD && address >= segment.address && address < segment.address + segment.size;
  const segment = segments.find(inside);
  if (segment === undefined) throw new Error(`address ${address} is in no segment of the file`);
  return address - segment.address + segment.offset;
}

/** No offset in a file exceeds 2^53. */
function number(data, at) {
  return Number(data.readBigUInt64LE(at));
}

function textAt(data, at) {
  return data.toString('latin1', at, data.indexOf(0, at));
}
