import t, { type Test } from 'tap';
import {
  Assembler,
  at,
  type Condition,
  constant,
  FP,
  type Operation,
  R0,
  R1,
  R2,
  R3,
  R4,
  R6,
  R7,
  R9,
  type Size,
} from '../../../../src/dataplane/fast-path/assembler.js';
import { toHex } from '../../../support/bytes.js';

/** Compares the instructions, each of 8 bytes: code, registers (source, destination), offset, constant. */
function assembles(t: Test, write: (a: Assembler) => void, expected: readonly string[]): void {
  const a = new Assembler();
  write(a);
  const instructions = toHex(a.assemble()).match(/.{16}/g) ?? [];
  t.same(
    instructions,
    expected.map((line) => line.replaceAll(' ', '')),
  );
}

t.test('load reads 1, 2, 4 or 8 bytes at a signed offset', async (t) => {
  const rows: [Size, string][] = [
    [1, '71 73 feff 00000000'],
    [2, '69 73 feff 00000000'],
    [4, '61 73 feff 00000000'],
    [8, '79 73 feff 00000000'],
  ];
  for (const [size, expected] of rows) assembles(t, (a) => a.load(size, R3, at(R7, -2)), [expected]);
});

t.test('store writes a register', async (t) => {
  const rows: [Size, string][] = [
    [1, '73 0a f8ff 00000000'],
    [2, '6b 0a f8ff 00000000'],
    [4, '63 0a f8ff 00000000'],
    [8, '7b 0a f8ff 00000000'],
  ];
  for (const [size, expected] of rows) assembles(t, (a) => a.store(size, at(FP, -8), R0), [expected]);
});

t.test('store writes a constant', async (t) => {
  const rows: [Size, string][] = [
    [1, '72 07 0e00 78563412'],
    [2, '6a 07 0e00 78563412'],
    [4, '62 07 0e00 78563412'],
    [8, '7a 07 0e00 78563412'],
  ];
  for (const [size, expected] of rows)
    assembles(t, (a) => a.store(size, at(R7, 14), constant(0x12345678)), [expected]);
});

t.test('move copies a register or a constant', async (t) => {
  assembles(t, (a) => a.move(R6, R1), ['bf 16 0000 00000000']);
  assembles(t, (a) => a.move(R1, constant(50)), ['b7 01 0000 32000000']);
  assembles(t, (a) => a.move(R2, constant(-50)), ['b7 02 0000 ceffffff']);
});

t.test('constant keeps the lower 32 bits', async (t) => {
  assembles(t, (a) => a.move(R0, constant(0xc0a84d01)), ['b7 00 0000 014da8c0']);
});

t.test('move64 has the lower half in the first instruction and the upper half in the second', async (t) => {
  assembles(t, (a) => a.move64(R4, 0x0e00000000000053n), ['18 04 0000 53000000', '00 00 0000 0000000e']);
  assembles(t, (a) => a.move64(R9, 0x0123456789abcdefn), ['18 09 0000 efcdab89', '00 00 0000 67452301']);
  assembles(t, (a) => a.move64(R0, -1n), ['18 00 0000 ffffffff', '00 00 0000 ffffffff']);
});

t.test('moveMap refers to a descriptor', async (t) => {
  assembles(t, (a) => a.moveMap(R1, 0x1234), ['18 11 0000 34120000', '00 00 0000 00000000']);
});

t.test('alu computes on 64 bits, alu32 on 32 bits', async (t) => {
  const rows: [Operation, string][] = [
    ['add', '0'],
    ['sub', '1'],
    ['mul', '2'],
    ['or', '4'],
    ['and', '5'],
    ['lsh', '6'],
    ['rsh', '7'],
    ['xor', 'a'],
  ];
  for (const [operation, digit] of rows) {
    assembles(t, (a) => a.alu(operation, R1, constant(14)), [`${digit}7 01 0000 0e000000`]);
    assembles(t, (a) => a.alu(operation, R1, R2), [`${digit}f 21 0000 00000000`]);
    assembles(t, (a) => a.alu32(operation, R1, constant(-1)), [`${digit}4 01 0000 ffffffff`]);
    assembles(t, (a) => a.alu32(operation, R1, R2), [`${digit}c 21 0000 00000000`]);
  }
});

t.test('swap converts 2 or 4 bytes to big-endian', async (t) => {
  assembles(t, (a) => a.swap(2, R0), ['dc 00 0000 10000000']);
  assembles(t, (a) => a.swap(4, R9), ['dc 09 0000 20000000']);
});

t.test('jumpIf compares 64 bits, jumpIf32 compares 32 bits', async (t) => {
  const rows: [Condition, string][] = [
    ['==', '1'],
    ['>', '2'],
    ['>=', '3'],
    ['!=', '5'],
    ['<', 'a'],
    ['<=', 'b'],
  ];
  for (const [condition, digit] of rows) {
    const branch = (write: (a: Assembler, label: symbol) => void, expected: string): void =>
      assembles(
        t,
        (a) => {
          const next = a.label('next');
          write(a, next);
          a.place(next);
        },
        [expected],
      );
    branch((a, next) => a.jumpIf(R3, condition, constant(-1), next), `${digit}5 03 0000 ffffffff`);
    branch((a, next) => a.jumpIf(R3, condition, R4, next), `${digit}d 43 0000 00000000`);
    branch((a, next) => a.jumpIf32(R3, condition, constant(2), next), `${digit}6 03 0000 02000000`);
    branch((a, next) => a.jumpIf32(R3, condition, R4, next), `${digit}e 43 0000 00000000`);
  }
});

t.test('a jump counts the instructions from the next one to the label', async (t) => {
  assembles(
    t,
    (a) => {
      const start = a.label('start');
      const end = a.label('end');
      a.place(start);
      a.jump(end);
      a.exit();
      a.jump(start);
      a.place(end);
      a.exit();
    },
    ['05 00 0200 00000000', '95 00 0000 00000000', '05 00 fdff 00000000', '95 00 0000 00000000'],
  );
});

t.test('a constant of 64 bits counts as two instructions of a jump', async (t) => {
  assembles(
    t,
    (a) => {
      const end = a.label('end');
      a.jump(end);
      a.move64(R0, 1n);
      a.place(end);
      a.exit();
    },
    ['05 00 0200 00000000', '18 00 0000 01000000', '00 00 0000 00000000', '95 00 0000 00000000'],
  );
});

t.test('call names a helper, and exit ends the program', async (t) => {
  assembles(
    t,
    (a) => {
      a.call(152);
      a.exit();
    },
    ['85 00 0000 98000000', '95 00 0000 00000000'],
  );
});

t.test('assemble throws for a label without a position', async (t) => {
  const a = new Assembler();
  a.jump(a.label('nowhere'));
  t.throws(() => a.assemble(), new RangeError('label nowhere has no position'));
});

t.test('two labels of one name are different labels', async (t) => {
  assembles(
    t,
    (a) => {
      const first = a.label('same');
      const second = a.label('same');
      a.jump(second);
      a.place(first);
      a.exit();
      a.place(second);
      a.exit();
    },
    ['05 00 0100 00000000', '95 00 0000 00000000', '95 00 0000 00000000'],
  );
});
