import t from 'tap';
import { IPPROTO_UDP, UDP_CHECKSUM, UDP_LENGTH, udpLength } from '../../../../src/dataplane/wire/udp.js';
import { hex, viewOf } from '../../../support/bytes.js';

/** The outer UDP header of the first packet in test/fixtures/flannel-vxlan-capture.txt, one byte into the view. */
const HEADER = viewOf(hex('ff a625 2118 005a 5a14'));

t.test('UDP accessors read a captured header as RFC 768 defines it', async (t) => {
  t.equal(udpLength(HEADER, 1), 90);
  t.equal(HEADER.getUint16(1 + UDP_CHECKSUM), 0x5a14);
  t.equal(UDP_LENGTH, 8);
  t.equal(IPPROTO_UDP, 17);
});
