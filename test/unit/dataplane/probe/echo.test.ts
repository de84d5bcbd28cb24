import t from 'tap';
import { internetChecksum } from '../../../../src/dataplane/checksum/bytes.js';
import { ECHO4, ECHO6, echoRequest, parseIcmp } from '../../../../src/dataplane/probe/echo.js';
import { arpRequest } from '../../../../src/dataplane/probe/observer.js';
import { narrow, type Range, sizesBetween } from '../../../../src/dataplane/probe/path-mtu.js';

function viewOf(...bytes: number[]): DataView {
  return new DataView(Uint8Array.from(bytes).buffer);
}

t.test('echoRequest makes a packet of the size, with a valid checksum', async (t) => {
  const request = echoRequest(ECHO4, 1500, 0x1234, 7);
  t.equal(request.length + 20, 1500);
  t.equal(internetChecksum(new DataView(request.buffer)), 0, 'the sum over everything is 0xffff');
  t.strictSame([...request.subarray(0, 2), ...request.subarray(4, 8)], [8, 0, 0x12, 0x34, 0, 7]);
  const six = echoRequest(ECHO6, 1280, 1, 2);
  t.strictSame([six.length + 40, six[0], six[2], six[3]], [1280, 128, 0, 0], 'the kernel sets the checksum');
});

t.test('internetChecksum of an odd length is that of RFC 1071', async (t) => {
  t.equal(internetChecksum(viewOf(0x00, 0x01, 0xf2)), ~(0x0001 + 0xf200) & 0xffff);
});

// RFC 792: an error, then the IP header (20 bytes: protocol @9, destination @16) and 8 bytes of the packet.
function error4(type: number, code: number, rest: number[], protocol: number, inner: number[]): DataView {
  const ip = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 192, 168, 77, 2];
  return viewOf(type, code, 0, 0, ...rest, ...ip, ...inner);
}

t.test('parseIcmp reads replies, the MTU of a router, and refused datagrams', async (t) => {
  t.strictSame(parseIcmp(ECHO4, viewOf(0, 0, 0, 0, 0x12, 0x34, 0, 7), 0), {
    type: 'reply',
    identifier: 0x1234,
    sequence: 7,
  });
  const echo = [8, 0, 0, 0, 0x12, 0x34, 0, 7];
  t.match(parseIcmp(ECHO4, error4(3, 4, [0, 0, 0x05, 0x78], 1, echo), 0), {
    type: 'error',
    echo: { identifier: 0x1234, sequence: 7 },
    mtu: 1400,
    portUnreachable: false,
  });
  const datagram = [0xc0, 0x00, 0x21, 0x18, 0, 0, 0, 0];
  t.match(parseIcmp(ECHO4, error4(3, 3, [0, 0, 0, 0], 17, datagram), 0), {
    datagram: { destination: String(0xc0a84d02 | 0), port: 8472 },
    portUnreachable: true,
  });
  t.equal(parseIcmp(ECHO4, error4(3, 1, [0, 0, 0, 0], 6, datagram), 0), undefined, 'TCP of another program');
  t.equal(parseIcmp(ECHO4, viewOf(8, 0, 0, 0, 0, 0, 0, 0), 0), undefined, 'a request');
  t.equal(parseIcmp(ECHO4, viewOf(3, 4, 0, 0, 0, 0, 0, 0, 0x45), 0), undefined, 'a packet that is cut off');
});

t.test('parseIcmp reads Packet Too Big of ICMPv6', async (t) => {
  const ip = [0x60, 0, 0, 0, 0, 0, 58, 64, ...Array<number>(32).fill(0)];
  const bytes = viewOf(2, 0, 0, 0, 0, 0, 0x05, 0x14, ...ip, 128, 0, 0, 0, 0, 1, 0, 2);
  t.match(parseIcmp(ECHO6, bytes, 0), { echo: { identifier: 1, sequence: 2 }, mtu: 1300 });
});

t.test('sizesBetween narrows the range to one size in few rounds, and tries the reported MTU', async (t) => {
  for (const answer of [576, 1280, 1400, 1499]) {
    const range: Range = { works: 575, fails: 1500 };
    let rounds = 0;
    for (let sizes = sizesBetween(range); sizes.length > 0; sizes = sizesBetween(range)) {
      rounds++;
      narrow(
        range,
        sizes.map((size) => ({ size, arrives: size <= answer })),
      );
    }
    t.strictSame([range.works, rounds <= 3], [answer, true]);
  }
  const first = sizesBetween({ works: 575, fails: 1500, hint: 1411 });
  t.ok(first.includes(1411) && first.includes(1412));
  const range = { works: 575, fails: 1500 };
  narrow(range, [
    { size: 700, arrives: false },
    { size: 900, arrives: true },
  ]);
  t.match(range, { works: 900, fails: 1500 }, 'the packet of 700 bytes was lost for another reason');
});

t.test('arpRequest is a broadcast of the own MAC in a VXLAN datagram', async (t) => {
  const bytes = arpRequest(1, '02:00:00:00:00:01', 0x0af40100, 0x0af40200);
  t.equal(
    Buffer.from(bytes).toString('hex'),
    [
      '0800000000000100',
      'ffffffffffff0200000000010806',
      '0001080006040001',
      '0200000000010af40100',
      '0000000000000af40200',
    ].join(''),
  );
});
