import t from 'tap';
import { elfFile, MACHINES } from '../../support/elf-file.js';

/** dist/test/unit/release/elf.test.js → repository */
const { isElf, readElf } = await import(new URL('../../../../scripts/release/elf.mjs', import.meta.url).href);

t.test('readElf returns architecture, interpreter and libraries', async (t) => {
  const program = { interpreter: '/lib/ld-linux-aarch64.so.1', needed: ['libm.so.6', 'libc.so.6'] };
  t.strictSame(readElf(elfFile({ machine: MACHINES.arm64, ...program })), { arch: 'arm64', ...program });
  t.strictSame(readElf(elfFile({ needed: ['libc.so.6'] })), {
    arch: 'amd64',
    interpreter: undefined,
    needed: ['libc.so.6'],
  });
  t.equal(readElf(elfFile({ machine: 243 })).arch, 'machine 243', 'another architecture');
});

t.test('readElf refuses what is no 64-bit little-endian ELF file', async (t) => {
  const file = elfFile({});
  for (const [index, value] of [
    [4, 1],
    [5, 2],
    [0, 0],
  ] as const) {
    const other = Buffer.from(file);
    other[index] = value;
    t.throws(() => readElf(other), /no 64-bit little-endian ELF file/);
  }
  t.notOk(isElf(Buffer.from('#!/bin/sh')));
  t.notOk(isElf(Buffer.alloc(0)));
});
