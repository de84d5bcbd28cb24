import t from 'tap';
import {
  hasGroupPolicy,
  hasReservedBits,
  hasVni,
  isPlainVxlan,
  VXLAN_LENGTH,
  VXLAN_VNI_VALID,
  vniOf,
  writeVxlan,
} from '../../../../src/dataplane/wire/vxlan.js';
import { hex, toHex, viewOf } from '../../../support/bytes.js';

/** One header a row: the bytes as RFC 7348 section 5 draws them, and their meaning. */
const HEADERS = [
  { bytes: '08000000 00000100', flag: true, vni: 1, reserved: false },
  { bytes: '08000000 00000000', flag: true, vni: 0, reserved: false },
  { bytes: '08000000 ffffff00', flag: true, vni: 0xffffff, reserved: false },
  { bytes: '08000000 80000000', flag: true, vni: 0x800000, reserved: false },
  { bytes: '08000000 12345600', flag: true, vni: 0x123456, reserved: false },
  { bytes: '00000000 00000100', flag: false, vni: 1, reserved: false },
  { bytes: '0c000000 00000100', flag: true, vni: 1, reserved: true },
  { bytes: '09000000 00000100', flag: true, vni: 1, reserved: true },
  { bytes: '08000001 00000100', flag: true, vni: 1, reserved: true },
  { bytes: '08800000 00000100', flag: true, vni: 1, reserved: true },
  { bytes: '08000000 00000101', flag: true, vni: 1, reserved: true },
  { bytes: '08000000 00000180', flag: true, vni: 1, reserved: true },
  { bytes: 'f7ffffff ffffffff', flag: false, vni: 0xffffff, reserved: true },
];

t.test('VXLAN accessors read a header as RFC 7348 defines it', async (t) => {
  for (const { bytes, flag, vni, reserved } of HEADERS) {
    const view = viewOf(hex(bytes));
    t.equal(hasVni(view, 0), flag, `${bytes}: I flag`);
    t.equal(vniOf(view, 0), vni, `${bytes}: VNI`);
    t.equal(hasReservedBits(view, 0), reserved, `${bytes}: reserved bits`);
  }
});

t.test("hasReservedBits ignores D, A and the group id of the kernel's GBP if G is set", async (t) => {
  for (const [bytes, reserved] of [
    ['88000000 00000100', false],
    ['88000001 00000100', false],
    ['8848ffff ffffff00', false],
    ['88400000 00000100', false],
    ['88080000 00000100', false],
    ['8c000001 00000100', true],
    ['88800001 00000100', true],
    ['88100001 00000100', true],
    ['88010001 00000100', true],
    ['88000001 00000101', true],
  ] as const) {
    const view = viewOf(hex(bytes));
    t.same(
      [hasVni(view, 0), hasGroupPolicy(view, 0), hasReservedBits(view, 0)],
      [true, true, reserved],
      bytes,
    );
  }
  for (const { bytes } of HEADERS.filter(({ flag }) => flag))
    t.notOk(hasGroupPolicy(viewOf(hex(bytes)), 0), bytes);
});

t.test('isPlainVxlan returns true for a header with nothing but the VNI', async (t) => {
  for (const { bytes, flag, reserved } of HEADERS)
    t.equal(isPlainVxlan(viewOf(hex(bytes)), 0), flag && !reserved, bytes);
  t.notOk(isPlainVxlan(viewOf(hex('88000001 00000100')), 0));
});

t.test('writeVxlan writes the I flag, the VNI and zeros', async (t) => {
  for (const [vni, bytes] of [
    [0, '0800000000000000'],
    [1, '0800000000000100'],
    [42, '0800000000002a00'],
    [0x800000, '0800000080000000'],
    [0xffffff, '08000000ffffff00'],
  ] as const) {
    const header = hex('ffffffffffffffff');
    writeVxlan(viewOf(header), 0, vni);
    t.equal(toHex(header), bytes);
  }
});

t.test('VXLAN_VNI_VALID is bit 4 of the first byte', async (t) => {
  t.equal(VXLAN_VNI_VALID, 0x08000000);
  t.equal(VXLAN_LENGTH, 8);
});

t.test('every bit of the VXLAN header is the I flag, the VNI, the G flag or reserved', async (t) => {
  for (let bit = 0; bit < 64; bit++) {
    const header = new Uint8Array(8);
    header[bit >> 3] = 0x80 >> (bit & 7);
    const view = viewOf(header);
    const isFlag = bit === 4;
    const isGroupPolicy = bit === 0;
    const isVni = bit >= 32 && bit < 56;
    t.same(
      [hasVni(view, 0), vniOf(view, 0), hasGroupPolicy(view, 0), hasReservedBits(view, 0)],
      [isFlag, isVni ? 2 ** (55 - bit) : 0, isGroupPolicy, !isFlag && !isVni && !isGroupPolicy],
      `bit ${bit}`,
    );
  }
});

t.test('VXLAN accessors work at any offset and write nothing beside the header', async (t) => {
  const bytes = new Uint8Array(24).fill(0xaa);
  writeVxlan(viewOf(bytes), 5, 0x010203);
  t.equal(toHex(bytes), `${'aa'.repeat(5)}0800000001020300${'aa'.repeat(11)}`);
  t.equal(vniOf(viewOf(bytes), 5), 0x010203);
});
