import t from 'tap';
import { ETHERNET_LENGTH } from '../../../../src/dataplane/wire/ethernet.js';
import { Layer4 } from '../../../../src/dataplane/wire/inner-headers.js';
import { concat, hex, pattern, viewOf } from '../../../support/bytes.js';
import { rawFrame, tagged, tcpFrame, udpFrame } from '../../../support/frames.js';

/** Where the frame stands in the view. */
const AT = 5;

function locate(frame: Uint8Array, length = frame.length): Layer4 | undefined {
  const layer4 = new Layer4(ETHERNET_LENGTH);
  const view = viewOf(concat(new Uint8Array(AT), frame, new Uint8Array(64)));
  return layer4.locate(view, AT, length) ? layer4 : undefined;
}

t.test('TCP over IPv4', async (t) => {
  t.match(locate(tcpFrame({ payload: pattern(100) })), {
    isIpv6: false,
    protocol: 6,
    ip: AT + 14,
    addresses: AT + 14 + 12,
    addressBytes: 8,
    header: AT + 34,
    headerLength: 20,
    checksumField: AT + 34 + 16,
    length: 120,
  });
});

t.test('IPv4 options and TCP options move what comes behind', async (t) => {
  const frame = tcpFrame({ ipOptions: hex('01010101'), tcpOptions: new Uint8Array(12).fill(1) });
  t.match(locate(frame), {
    addresses: AT + 14 + 12,
    header: AT + 38,
    headerLength: 32,
    checksumField: AT + 38 + 16,
    length: 132,
  });
});

t.test('UDP over IPv4', async (t) => {
  t.match(locate(udpFrame({ payload: pattern(3) })), {
    protocol: 17,
    header: AT + 34,
    headerLength: 8,
    checksumField: AT + 34 + 6,
    length: 11,
  });
});

t.test('TCP and UDP over IPv6', async (t) => {
  const addresses = { isIpv6: true, ip: AT + 14, addresses: AT + 14 + 8, addressBytes: 32, header: AT + 54 };
  t.match(locate(tcpFrame({ ipv6: true })), { ...addresses, protocol: 6, checksumField: AT + 54 + 16 });
  t.match(locate(udpFrame({ ipv6: true })), { ...addresses, protocol: 17, checksumField: AT + 54 + 6 });
});

t.test('a VLAN tag moves what comes behind', async (t) => {
  t.match(locate(tagged(tcpFrame())), { ip: AT + 18, addresses: AT + 18 + 12, header: AT + 38, length: 120 });
  t.match(locate(tagged(udpFrame({ ipv6: true }))), { ip: AT + 18, addresses: AT + 18 + 8, header: AT + 58 });
});

t.test('the IP header says how long the packet is, not the frame, which may be padded', async (t) => {
  const frame = tcpFrame({ payload: new Uint8Array(0) });
  t.match(locate(concat(frame, new Uint8Array(6))), { length: 20 });
});

t.test('one object serves packet after packet', async (t) => {
  const layer4 = new Layer4(ETHERNET_LENGTH);
  const v6 = viewOf(tcpFrame({ ipv6: true }));
  const v4 = viewOf(udpFrame());
  t.equal(layer4.locate(v6, 0, v6.byteLength), true);
  t.equal(layer4.locate(v4, 0, v4.byteLength), true);
  t.match(layer4, { isIpv6: false, protocol: 17, header: 34, addressBytes: 8 });
});

/** What a TUN device has: the fields are the same, the link header's length before those of the frame. */
t.test('without a link header all is the same from the IP header on', async (t) => {
  const raw = new Layer4(0);
  for (const frame of [
    tcpFrame({ ipOptions: hex('01010101'), tcpOptions: new Uint8Array(12).fill(1) }),
    udpFrame(),
    tcpFrame({ ipv6: true }),
    udpFrame({ ipv6: true }),
  ]) {
    const view = viewOf(concat(new Uint8Array(AT), frame.slice(14)));
    t.equal(raw.locate(view, AT, frame.length - 14), true);
    const { ip, header, addresses, checksumField, ...sizes } = locate(frame) as Layer4;
    t.same(raw, {
      ...sizes,
      linkLength: 0,
      ip: ip - 14,
      header: header - 14,
      addresses: addresses - 14,
      checksumField: checksumField - 14,
    });
  }
});

t.test('what is not whole, plain TCP or UDP over IP is left alone', async (t) => {
  const tcp = tcpFrame();
  const udp = udpFrame();
  const v6 = tcpFrame({ ipv6: true });
  const cases: [string, Uint8Array, number?][] = [
    ['an Ethernet header alone', tcp, 14],
    ['an IPv4 header cut short', tcp, 33],
    ['another EtherType', rawFrame('02:00:00:00:00:0b', '02:00:00:00:00:0a', pattern(60))],
    ['two VLAN tags', tagged(tagged(tcpFrame()))],
    ['version 6 in an IPv4 frame', poked(tcp, 14, 0x65)],
    ['an IPv4 header shorter than 20 bytes', poked(tcp, 14, 0x44)],
    ['a total length shorter than the header', poked(poked(tcp, 16, 0), 17, 19)],
    ['a total length beyond the frame', tcp, tcp.length - 1],
    ['a first fragment', poked(tcp, 20, 0x20)],
    ['a later fragment', poked(tcp, 21, 0x01)],
    ['ICMP', poked(tcp, 23, 1)],
    ['a TCP header cut short by the IP length', poked(poked(tcp, 16, 0), 17, 39)],
    ['a data offset below 5', poked(tcp, 46, 0x40)],
    ['a data offset beyond the segment', poked(tcpFrame({ payload: pattern(3) }), 46, 0x60)],
    ['a UDP header cut short by the IP length', poked(poked(udp, 16, 0), 17, 27)],
    ['an IPv6 header cut short', v6, 53],
    ['version 4 in an IPv6 frame', poked(v6, 14, 0x45)],
    ['an IPv6 payload beyond the frame', v6, v6.length - 1],
    ['an IPv6 extension header', poked(v6, 20, 0)],
  ];
  for (const [name, frame, length] of cases) t.equal(locate(frame, length), undefined, name);
  const raw = new Layer4(0);
  for (const [name, frame, length = frame.length] of cases) {
    const view = viewOf(concat(frame.slice(14), new Uint8Array(64)));
    t.equal(raw.locate(view, 0, length - 14), false, `${name}, without Ethernet`);
  }
});

/** A copy with one byte changed. */
function poked(frame: Uint8Array, at: number, value: number): Uint8Array {
  const copy = frame.slice();
  copy[at] = value;
  return copy;
}
