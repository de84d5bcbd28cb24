import t from 'tap';
import {
  destinationHigh,
  destinationLow,
  ETHERNET_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  etherType,
  isMulticast,
  sourceHigh,
  sourceLow,
} from '../../../../src/dataplane/wire/ethernet.js';
import { hex, viewOf } from '../../../support/bytes.js';

/** The Ethernet header of the first packet in test/fixtures/flannel-vxlan-capture.txt, two bytes into the view. */
const HEADER = viewOf(hex('ffff e628e5cd5590 ca58469f909f 0800'));

t.test('MAC accessors return the first two bytes unsigned and the last four signed', async (t) => {
  t.equal(destinationHigh(HEADER, 2), 0xe628);
  t.equal(destinationLow(HEADER, 2), 0xe5cd5590 | 0);
  t.equal(sourceHigh(HEADER, 2), 0xca58);
  t.equal(sourceLow(HEADER, 2), 0x469f909f);
});

t.test('etherType returns the last two of the fourteen bytes', async (t) => {
  t.equal(etherType(HEADER, 2), ETHERTYPE_IPV4);
  t.equal(ETHERTYPE_IPV4, 0x0800);
  t.equal(ETHERTYPE_IPV6, 0x86dd);
  t.equal(ETHERNET_LENGTH, 14);
});

t.test('isMulticast tests the lowest bit of the first byte', async (t) => {
  t.equal(isMulticast(0xffff), true, 'broadcast');
  t.equal(isMulticast(0x0100), true, 'IPv4 multicast');
  t.equal(isMulticast(0x3333), true, 'IPv6 multicast');
  t.equal(isMulticast(0x02ff), false, 'locally administered unicast');
  t.equal(isMulticast(0x0001), false, 'a bit of the second byte');
});
