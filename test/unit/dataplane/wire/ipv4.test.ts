import t from 'tap';
import {
  IPV4_MIN_LENGTH,
  ipv4HeaderLength,
  ipv4Identification,
  ipv4Protocol,
  ipv4TotalLength,
  ipv4Version,
  isIpv4Fragment,
  setIpv4HeaderChecksum,
  setIpv4Identification,
  setIpv4TotalLength,
} from '../../../../src/dataplane/wire/ipv4.js';
import { hex, toHex, viewOf } from '../../../support/bytes.js';

/** The inner IPv4 header of the first packet in test/fixtures/flannel-vxlan-capture.txt, one byte into the view. */
const HEADER = 'ff 4500 003c 1351 4000 4006 0f82 0af40000 0af40202';

t.test('IPv4 accessors read a captured header as RFC 791 defines it', async (t) => {
  const view = viewOf(hex(HEADER));
  t.equal(ipv4Version(view, 1), 4);
  t.equal(ipv4HeaderLength(view, 1), 20);
  t.equal(ipv4TotalLength(view, 1), 60);
  t.equal(ipv4Identification(view, 1), 0x1351);
  t.equal(isIpv4Fragment(view, 1), false, 'DF is not a fragment');
  t.equal(ipv4Protocol(view, 1), 6);
  t.equal(IPV4_MIN_LENGTH, 20);
});

t.test('ipv4HeaderLength includes options, in words of four bytes', async (t) => {
  t.equal(ipv4HeaderLength(viewOf(hex('4f')), 0), 60);
  t.equal(ipv4HeaderLength(viewOf(hex('46')), 0), 24);
  t.equal(ipv4HeaderLength(viewOf(hex('40')), 0), 0);
});

t.test('isIpv4Fragment tests MF and the offset', async (t) => {
  for (const [field, fragment] of [
    ['0000', false],
    ['4000', false],
    ['8000', false],
    ['2000', true],
    ['0001', true],
    ['1fff', true],
    ['6000', true],
  ] as const) {
    t.equal(isIpv4Fragment(viewOf(hex(`45000000 0000 ${field}`)), 0), fragment, field);
  }
});

t.test('IPv4 setters write their field only', async (t) => {
  const bytes = hex(HEADER);
  setIpv4TotalLength(viewOf(bytes), 1, 0xabcd);
  setIpv4Identification(viewOf(bytes), 1, 0x10001);
  setIpv4HeaderChecksum(viewOf(bytes), 1, 0x1234);
  t.equal(toHex(bytes), toHex(hex('ff 4500 abcd 0001 4000 4006 1234 0af40000 0af40202')));
});
