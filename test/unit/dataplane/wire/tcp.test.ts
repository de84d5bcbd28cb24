import t from 'tap';
import {
  IPPROTO_TCP,
  setTcpFlags,
  setTcpSequence,
  TCP_CHECKSUM,
  TCP_CWR,
  TCP_FIN,
  TCP_MIN_LENGTH,
  TCP_PSH,
  tcpFlags,
  tcpHeaderLength,
  tcpSequence,
} from '../../../../src/dataplane/wire/tcp.js';
import { hex, toHex, viewOf } from '../../../support/bytes.js';

/** The SYN of the first packet in test/fixtures/flannel-vxlan-capture.txt without its options, one byte in. */
const HEADER = 'ff 9e6b 24e3 5d96a936 00000000 a002 faf0 85c3 0000';

t.test('TCP accessors read a captured header as RFC 9293 defines it', async (t) => {
  const view = viewOf(hex(HEADER));
  t.equal(tcpHeaderLength(view, 1), 40);
  t.equal(tcpSequence(view, 1), 1570154806, 'as tcpdump printed it');
  t.equal(tcpFlags(view, 1), 0x02, 'SYN');
  t.equal(view.getUint16(1 + TCP_CHECKSUM), 0x85c3);
  t.equal(IPPROTO_TCP, 6);
  t.equal(TCP_MIN_LENGTH, 20);
});

t.test('tcpFlags returns the bits CWR ECE URG ACK PSH RST SYN FIN', async (t) => {
  t.same([TCP_CWR, TCP_PSH, TCP_FIN], [0b10000000, 0b00001000, 0b00000001]);
});

t.test('tcpHeaderLength counts words of four bytes and ignores the reserved bits', async (t) => {
  t.equal(tcpHeaderLength(viewOf(hex('000000000000000000000000 f0')), 0), 60);
  t.equal(tcpHeaderLength(viewOf(hex('000000000000000000000000 5f')), 0), 20);
});

t.test('TCP setters write their field only', async (t) => {
  const bytes = hex(HEADER);
  setTcpFlags(viewOf(bytes), 1, 0x99);
  setTcpSequence(viewOf(bytes), 1, 0x01020304);
  t.equal(toHex(bytes), toHex(hex('ff 9e6b 24e3 01020304 00000000 a099 faf0 85c3 0000')));
});

t.test('setTcpSequence counts modulo 2^32', async (t) => {
  const view = viewOf(new Uint8Array(20));
  setTcpSequence(view, 0, 0xffffffff);
  setTcpSequence(view, 0, tcpSequence(view, 0) + 2);
  t.equal(view.getUint32(4), 1);
  setTcpSequence(view, 0, 0x7ffffff0);
  setTcpSequence(view, 0, tcpSequence(view, 0) + 0x20);
  t.equal(view.getUint32(4), 0x80000010);
});
