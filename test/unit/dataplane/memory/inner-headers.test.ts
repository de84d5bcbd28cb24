import t from 'tap';
import { InnerHeaders } from '../../../../src/dataplane/memory/inner-headers.js';
import { ETHERNET_LENGTH } from '../../../../src/dataplane/wire/ethernet.js';
import { concat, hex, pattern, viewOf } from '../../../support/bytes.js';
import { rawFrame, tagged, tcpFrame, udpFrame, withHopByHop } from '../../../support/frames.js';

/** Offset of the frame in the view; the fields do not depend on it. */
const AT = 5;

function parsed(
  frame: Uint8Array,
  length = frame.length,
  linkLength = ETHERNET_LENGTH,
): InnerHeaders | undefined {
  const headers = new InnerHeaders();
  const view = viewOf(concat(new Uint8Array(AT), frame, new Uint8Array(64)));
  const found = headers.parseIp(view, AT, length, linkLength) && headers.parseTransport(view, AT, length);
  t.equal(headers.transport > 0, found);
  return found ? headers : undefined;
}

t.test('InnerHeaders finds TCP over IPv4', async (t) => {
  t.match(parsed(tcpFrame({ payload: pattern(100) })), {
    ip: 14,
    isIpv6: false,
    transport: 34,
    protocol: 6,
    addresses: 26,
    addressBytes: 8,
    checksumField: 50,
    transportLength: 120,
    headersLength: 54,
  });
});

t.test('InnerHeaders accepts IPv4 options and TCP options', async (t) => {
  const frame = tcpFrame({ ipOptions: hex('01010101'), tcpOptions: new Uint8Array(12).fill(1) });
  t.match(parsed(frame), {
    transport: 38,
    addresses: 26,
    checksumField: 54,
    transportLength: 132,
    headersLength: 70,
  });
});

t.test('InnerHeaders finds UDP over IPv4', async (t) => {
  t.match(parsed(udpFrame({ payload: pattern(3) })), {
    transport: 34,
    protocol: 17,
    checksumField: 40,
    transportLength: 11,
    headersLength: 42,
  });
});

t.test('InnerHeaders finds TCP and UDP over IPv6', async (t) => {
  const addresses = { isIpv6: true, ip: 14, addresses: 22, addressBytes: 32, transport: 54 };
  t.match(parsed(tcpFrame({ ipv6: true })), { ...addresses, protocol: 6, checksumField: 70 });
  t.match(parsed(udpFrame({ ipv6: true })), { ...addresses, protocol: 17, checksumField: 60 });
});

t.test('InnerHeaders accepts IPv6 extension headers in front of TCP', async (t) => {
  const frame = withHopByHop(tcpFrame({ ipv6: true, payload: pattern(10) }), 1);
  t.match(parsed(frame), { transport: 70, transportLength: 30, headersLength: 90, protocol: 6 });
});

t.test('InnerHeaders accepts one VLAN tag', async (t) => {
  t.match(parsed(tagged(tcpFrame())), { ip: 18, addresses: 30, transport: 38, transportLength: 120 });
  t.match(parsed(tagged(udpFrame({ ipv6: true }))), { ip: 18, addresses: 26, transport: 58 });
});

t.test('InnerHeaders takes the length from the IP header and ignores padding', async (t) => {
  const frame = tcpFrame({ payload: new Uint8Array(0) });
  t.match(parsed(concat(frame, new Uint8Array(6))), { transportLength: 20 });
});

t.test('InnerHeaders parses packet after packet', async (t) => {
  const headers = new InnerHeaders();
  const v6 = viewOf(tcpFrame({ ipv6: true }));
  const v4 = viewOf(udpFrame());
  headers.parseIp(v6, 0, v6.byteLength, ETHERNET_LENGTH);
  t.equal(headers.parseTransport(v6, 0, v6.byteLength), true);
  headers.parseIp(v4, 0, v4.byteLength, ETHERNET_LENGTH);
  t.equal(headers.parseTransport(v4, 0, v4.byteLength), true);
  t.match(headers, { isIpv6: false, protocol: 17, transport: 34, addressBytes: 8 });
  t.equal(headers.parseIp(v4, 0, 20, ETHERNET_LENGTH), false);
  t.match(headers, { ip: -1, transport: 0 });
});

t.test('parseIp finds the IP header in front of any payload', async (t) => {
  const icmp = poked(tcpFrame(), 23, 1);
  const fragment = poked(udpFrame(), 21, 0x01);
  const shorterThanItClaims = tcpFrame().slice(0, 34);
  for (const [frame, ip] of [
    [icmp, 14],
    [fragment, 14],
    [shorterThanItClaims, 14],
    [tagged(icmp), 18],
    [tcpFrame({ ipv6: true }).slice(0, 54), 14],
  ] as const) {
    const headers = new InnerHeaders();
    t.equal(headers.parseIp(viewOf(frame), 0, frame.length, ETHERNET_LENGTH), true);
    t.equal(headers.ip, ip);
    t.equal(headers.parseTransport(viewOf(frame), 0, frame.length), false);
    t.match(headers, { ip, transport: 0 });
  }
  const short = tcpFrame().slice(0, 33);
  t.equal(new InnerHeaders().parseIp(viewOf(short), 0, short.length, ETHERNET_LENGTH), false);
});

t.test('InnerHeaders has offsets 14 less without a link header, as on a TUN', async (t) => {
  for (const frame of [
    tcpFrame({ ipOptions: hex('01010101'), tcpOptions: new Uint8Array(12).fill(1) }),
    udpFrame(),
    tcpFrame({ ipv6: true }),
    udpFrame({ ipv6: true }),
  ]) {
    const { ip, transport, addresses, checksumField, headersLength, ...others } = parsed(
      frame,
    ) as InnerHeaders;
    t.same(parsed(frame.slice(14), frame.length - 14, 0), {
      ...others,
      ip: ip - 14,
      transport: transport - 14,
      addresses: addresses - 14,
      checksumField: checksumField - 14,
      headersLength: headersLength - 14,
    });
  }
});

t.test('InnerHeaders rejects anything but whole, unfragmented TCP or UDP over IP', async (t) => {
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
  for (const [name, frame, length] of cases) t.equal(parsed(frame, length), undefined, name);
  for (const [name, frame, length = frame.length] of cases)
    t.equal(parsed(frame.slice(14), length - 14, 0), undefined, `${name}, without Ethernet`);
});

/** Returns a copy with one byte changed. */
function poked(frame: Uint8Array, at: number, value: number): Uint8Array {
  const copy = frame.slice();
  copy[at] = value;
  return copy;
}
