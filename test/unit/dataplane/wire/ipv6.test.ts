import t from 'tap';
import {
  IPV6_LENGTH,
  ipv6NextHeader,
  ipv6PayloadLength,
  ipv6Version,
  setIpv6PayloadLength,
} from '../../../../src/dataplane/wire/ipv6.js';
import { hex, toHex, viewOf } from '../../../support/bytes.js';

/** A UDP packet of 8 + 5 bytes from 2001:db8::1 to 2001:db8::2, one byte into the view. */
const HEADER = 'ff 60012345 000d 11 40 20010db8000000000000000000000001 20010db8000000000000000000000002';

t.test('IPv6 accessors read a header as RFC 8200 defines it', async (t) => {
  const view = viewOf(hex(HEADER));
  t.equal(ipv6Version(view, 1), 6);
  t.equal(ipv6PayloadLength(view, 1), 13);
  t.equal(ipv6NextHeader(view, 1), 17);
  t.equal(IPV6_LENGTH, 40);
});

t.test('setIpv6PayloadLength writes the payload length only', async (t) => {
  const bytes = hex(HEADER);
  setIpv6PayloadLength(viewOf(bytes), 1, 0xfedc);
  t.equal(toHex(bytes), toHex(hex(HEADER.replace('000d', 'fedc'))));
});
