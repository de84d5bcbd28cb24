import t from 'tap';
import { InnerHeaders } from '../../../../src/dataplane/memory/inner-headers.js';
import { flowHash } from '../../../../src/dataplane/tunnel/flow-hash.js';
import { ETHERNET_LENGTH } from '../../../../src/dataplane/wire/ethernet.js';
import { pattern, viewOf } from '../../../support/bytes.js';
import { type FrameOptions, rawFrame, tagged, tcpFrame, udpFrame } from '../../../support/frames.js';
import { naiveSegments, withPartialChecksum } from '../../../support/reference.js';

function hashOf(frame: Uint8Array): number {
  const headers = new InnerHeaders();
  const view = viewOf(frame);
  if (headers.parseIp(view, 0, frame.length, ETHERNET_LENGTH)) headers.parseTransport(view, 0, frame.length);
  return flowHash(view, 0, headers);
}

function port(number: number, ipv6 = false): FrameOptions {
  return { ipv6, mutate: (frame) => viewOf(frame).setUint16(ipv6 ? 54 : 34, number) };
}

for (const ipv6 of [false, true]) {
  const version = ipv6 ? 'IPv6' : 'IPv4';

  t.test(`flowHash is equal for all packets of an ${version} flow`, async (t) => {
    for (const make of [tcpFrame, udpFrame]) {
      const expected = hashOf(make({ ipv6 }));
      for (const options of [
        { payload: new Uint8Array(0) },
        { payload: pattern(1400, 7) },
        { sequence: 99, flags: 0x11 },
        { identification: 1 },
        { tcpOptions: new Uint8Array(12).fill(1) },
        { mutate: (frame: Uint8Array) => viewOf(frame).setUint8(ipv6 ? 21 : 22, 3) },
      ]) {
        t.equal(hashOf(make({ ipv6, ...options })), expected);
      }
    }
  });

  t.test(`flowHash is equal for an ${version} superpacket and its segments`, async (t) => {
    for (const make of [tcpFrame, udpFrame]) {
      const whole = make({ ipv6, payload: pattern(10_000) });
      t.equal(hashOf(withPartialChecksum(whole)), hashOf(whole));
      for (const segment of naiveSegments(whole, 1400)) t.equal(hashOf(segment), hashOf(whole));
    }
  });

  t.test(`flowHash depends on addresses, ports and protocol of ${version}`, async (t) => {
    const base = hashOf(tcpFrame({ ipv6 }));
    t.not(hashOf(udpFrame({ ipv6 })), base);
    for (const at of ipv6 ? [22, 37, 38, 53, 54, 55, 56, 57] : [26, 29, 30, 33, 34, 35, 36, 37]) {
      const other = tcpFrame({
        ipv6,
        mutate: (frame) => viewOf(frame).setUint8(at, viewOf(frame).getUint8(at) ^ 1),
      });
      t.not(hashOf(other), base, `byte ${at}`);
    }
  });

  t.test(`flowHash spreads neighbouring source ports of ${version} over 16 transmit sockets`, async (t) => {
    const counts = new Array<number>(16).fill(0);
    for (let number = 0; number < 1600; number++) {
      const sender = (hashOf(udpFrame(port(32768 + number, ipv6))) >>> 8) % 16;
      counts[sender] = (counts[sender] as number) + 1;
    }
    t.ok(Math.min(...counts) > 50, `${counts}`);
    t.ok(Math.max(...counts) < 200, `${counts}`);
  });
}

t.test('flowHash ignores a VLAN tag', async (t) => {
  t.equal(hashOf(tagged(tcpFrame())), hashOf(tcpFrame()));
});

t.test('flowHash is equal for all fragments of a datagram, with and without ports', async (t) => {
  const fragment = (offset: number, seed: number): Uint8Array =>
    udpFrame({ payload: pattern(800, seed), mutate: (frame) => viewOf(frame).setUint16(20, offset) });
  const first = hashOf(fragment(0x2000, 1));
  const later = udpFrame({
    mutate: (frame) => {
      viewOf(frame).setUint16(20, 100);
      viewOf(frame).setUint32(34, 0x12345678);
    },
  });
  t.equal(hashOf(later), first);
});

t.test('flowHash depends on the MAC addresses of a frame that is not IP', async (t) => {
  const base = hashOf(rawFrame('02:00:00:00:00:0b', '02:00:00:00:00:0a'));
  t.equal(hashOf(rawFrame('02:00:00:00:00:0b', '02:00:00:00:00:0a', pattern(40))), base);
  t.not(hashOf(rawFrame('02:00:00:00:00:0c', '02:00:00:00:00:0a')), base);
  t.not(hashOf(rawFrame('02:00:00:00:00:0b', '02:00:00:00:00:0c')), base);
});
