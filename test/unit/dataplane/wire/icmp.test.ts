import t from 'tap';
import { icmpType, isIcmpError, setIcmpChecksum, writeIcmp } from '../../../../src/dataplane/wire/icmp.js';
import { toHex, viewOf } from '../../../support/bytes.js';

t.test(
  'writeIcmp and setIcmpChecksum write type, code and checksum as RFC 792 defines them, and zeros',
  async (t) => {
    const bytes = new Uint8Array(10).fill(0xff);
    writeIcmp(viewOf(bytes), 1, 11, 7);
    t.equal(toHex(bytes), 'ff0b07000000000000ff');
    setIcmpChecksum(viewOf(bytes), 1, 0xabcd);
    t.equal(toHex(bytes), 'ff0b07abcd00000000ff');
    t.equal(icmpType(viewOf(bytes), 1), 11);
  },
);

t.test('isIcmpError returns true for errors and unknown types, false for queries', async (t) => {
  const errors = Array.from({ length: 256 }, (_, type) => type).filter(isIcmpError);
  t.same(errors.slice(0, 5), [3, 4, 5, 11, 12]);
  t.equal(errors[5], 19);
  t.equal(errors.length, 5 + 256 - 19);
});
