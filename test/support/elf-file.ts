/** Makes small ELF files, of 64 bits and little-endian, with a dynamic section. */

/** elf.h: EM_X86_64, EM_AARCH64 */
export const MACHINES = { amd64: 62, arm64: 183 };

interface ElfOptions {
  readonly machine?: number;
  readonly interpreter?: string;
  readonly needed?: readonly string[];
}

/** Returns an ELF file whose segments lie at other addresses than in the file. */
export function elfFile({ machine = MACHINES.amd64, interpreter, needed = [] }: ElfOptions): Buffer {
  const base = 0x400000;
  const programs = 3;
  const strings = Buffer.from(`\0${needed.map((name) => `${name}\0`).join('')}`, 'latin1');
  const path = Buffer.from(`${interpreter ?? ''}\0`, 'latin1');
  const start = 64 + programs * 56;
  const offsets = {
    strings: start,
    path: start + strings.length,
    dynamic: start + strings.length + path.length,
  };
  let at = 1;
  const entries: [tag: number, value: number][] = needed.map((name) => {
    const entry: [number, number] = [1, at];
    at += name.length + 1;
    return entry;
  });
  entries.push([5, base + offsets.strings], [0, 0]);
  const dynamic = Buffer.alloc(entries.length * 16);
  for (const [index, [tag, value]] of entries.entries()) {
    dynamic.writeBigUInt64LE(BigInt(tag), index * 16);
    dynamic.writeBigUInt64LE(BigInt(value), index * 16 + 8);
  }
  const header = Buffer.alloc(start);
  header.write('\x7fELF\x02\x01\x01', 'latin1');
  header.writeUInt16LE(machine, 18);
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(programs, 56);
  const segment = (index: number, type: number, offset: number, size: number) => {
    const place = 64 + index * 56;
    header.writeUInt32LE(type, place);
    header.writeBigUInt64LE(BigInt(offset), place + 8);
    header.writeBigUInt64LE(BigInt(base + offset), place + 16);
    header.writeBigUInt64LE(BigInt(size), place + 32);
  };
  segment(0, 1, 0, offsets.dynamic + dynamic.length);
  segment(1, 2, offsets.dynamic, dynamic.length);
  // PT_INTERP, or PT_NULL.
  segment(2, interpreter === undefined ? 0 : 3, offsets.path, path.length);
  return Buffer.concat([header, strings, path, dynamic]);
}
