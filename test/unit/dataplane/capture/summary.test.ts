import t from 'tap';
import { datagramHeaders, ethernetHeader } from '../../../../src/dataplane/capture/datagram.js';
import { describeFrame } from '../../../../src/dataplane/capture/summary.js';

const ETHERNET = '020000000002' + '020000000001';
const ECHO = '4500001c000000004001000' + '0' + '0a0000010a000002' + '0800000000010007';
const TCP6 =
  '6000000000140640' +
  'fd000000000000000000000000000001' +
  'fd000000000100000000000000000002' +
  '04d20050000000010000000250120000' +
  '00000000';

const frame = (hex: string): Buffer => Buffer.from(ETHERNET + hex, 'hex');

t.test('a frame is described by its innermost known header', async (t) => {
  const cases: [string, string][] = [
    [`0800${ECHO}`, '10.0.0.1 > 10.0.0.2: ICMP echo request, seq 7'],
    [`86dd${TCP6}`, 'fd00::1.1234 > fd00:0:1::2.80: TCP [S.], seq 1, ack 2'],
    [
      '0806' + '0001080006040001' + '020000000001' + '0a000001' + '000000000000' + '0a000002',
      'ARP who has 10.0.0.2? tell 10.0.0.1',
    ],
    ['88cc0102', '02:00:00:00:00:01 > 02:00:00:00:00:02: EtherType 0x88cc'],
    ['0800', '0 bytes of an IP header'],
    ['080045', '1 bytes of an IP header'],
    ['0800ff', '1 bytes that are no IP packet'],
  ];
  for (const [hex, expected] of cases) t.equal(describeFrame(frame(hex)), expected);
  t.equal(describeFrame(Buffer.alloc(5)), '5 bytes of an Ethernet header');
});

t.test('a datagram of the tunnel is described with its content', async (t) => {
  const end = (last: number, port: number) => ({ address: Uint8Array.of(192, 168, 77, last), port });
  const datagram = (hex: string): Buffer => {
    const payload = Buffer.from(hex, 'hex');
    const headers = datagramHeaders(end(1, 40000), end(2, 8472), 0, payload);
    return Buffer.concat([ethernetHeader(false), headers, payload]);
  };
  const hosts = '192.168.77.1.40000 > 192.168.77.2.8472';
  const echo = '10.0.0.1 > 10.0.0.2: ICMP echo request, seq 7';
  t.equal(
    describeFrame(datagram(`0800000000000100${ETHERNET}0800${ECHO}`), 'vxlan'),
    `${hosts}: VXLAN 1: ${echo}`,
  );
  t.equal(describeFrame(datagram('0000000000000100'), 'vxlan'), `${hosts}: VXLAN without a VNI`);
  t.equal(describeFrame(datagram(ECHO), 'ip'), `${hosts}: ${echo}`);
  t.equal(describeFrame(datagram('00')), `${hosts}: UDP, length 1`);
});

t.test('no bytes of any length make it fail', async (t) => {
  for (const whole of [frame(`86dd${TCP6}`), frame(`0800${ECHO}`), Buffer.alloc(80, 0xff)]) {
    for (let length = 0; length <= whole.length; length++) {
      const cut = whole.subarray(0, length);
      t.type(describeFrame(cut), 'string');
      t.type(describeFrame(cut, 'vxlan'), 'string');
    }
  }
});
