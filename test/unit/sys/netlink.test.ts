import t, { type Test } from 'tap';
import {
  attribute,
  attributesIn,
  change,
  dump,
  exchange,
  message,
  textOf,
} from '../../../src/sys/netlink.js';
import { SystemError } from '../../../src/sys/system-error.js';
import { hex, toHex } from '../../support/bytes.js';

// linux/netlink.h, linux/rtnetlink.h
const NETLINK_ROUTE = 0;
const NLM_F_ACK = 4;
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const IFINFO_SIZE = 16;
const IFLA_IFNAME = 3;
const EPERM = 1;
const ENODEV = 19;

function isBytes(t: Test, bytes: Uint8Array, expected: string): void {
  t.equal(toHex(bytes), expected.replaceAll(' ', ''));
}

t.test('message has length, type, flags, sequence and port in front of its payload', async (t) => {
  isBytes(
    t,
    message(18, 0x300, Buffer.from('abcd', 'hex')),
    '12000000 1200 0103 00000000 00000000 abcd 0000',
  );
  isBytes(t, message(0x1234, 0, Buffer.alloc(0)), '10000000 3412 0100 00000000 00000000');
});

t.test('attribute has its length and type in front of a number', async (t) => {
  isBytes(t, attribute(6, 0x01020304), '0800 0600 04030201');
  isBytes(t, attribute(8, 0xffffffff), '0800 0800 ffffffff');
});

t.test('attribute ends a text with a zero byte, and pads it outside its length', async (t) => {
  isBytes(t, attribute(1, 'bpf'), '0800 0100 62706600');
  isBytes(t, attribute(1, 'clsact'), '0b00 0100 636c7361637400 00');
  isBytes(t, attribute(1, ''), '0500 0100 00 000000');
});

t.test('attribute contains other attributes', async (t) => {
  isBytes(
    t,
    attribute(2, [attribute(6, 5), attribute(7, 'a')]),
    '1400 0200 0800 0600 05000000 0600 0700 6100 0000',
  );
  isBytes(t, attribute(2, []), '0400 0200');
});

function parsed(text: string): [number, string][] {
  return [...attributesIn(Buffer.from(hex(text)))].map(([type, value]) => [type, toHex(value)]);
}

t.test('attributesIn returns the values by type, without padding', async (t) => {
  t.same(parsed('0800 0600 04030201 0b00 0100 636c7361637400 00 0400 0300'), [
    [6, '04030201'],
    [1, '636c7361637400'],
    [3, ''],
  ]);
});

t.test('attributesIn ignores the flags of a type', async (t) => {
  t.same(parsed('0800 0280 01000000 0800 0340 02000000'), [
    [2, '01000000'],
    [3, '02000000'],
  ]);
});

t.test('attributesIn accepts a last attribute without padding', async (t) => {
  t.same(parsed('0500 0100 61'), [[1, '61']]);
});

t.test('attributesIn ends at a damaged attribute', async (t) => {
  const good = '0800 0600 04030201';
  const expected = [[6, '04030201']];
  t.same(parsed(`${good} 0300 0100`), expected, 'shorter than its header');
  t.same(parsed(`${good} 0000 0100`), expected, 'length zero');
  t.same(parsed(`${good} 0900 0100 61626364`), expected, 'longer than the rest');
  t.same(parsed(`${good} 0800`), expected, 'an incomplete header');
  t.same(parsed(''), []);
});

t.test('attributesIn keeps the last one of a type', async (t) => {
  t.same(parsed('0800 0600 01000000 0800 0600 02000000'), [[6, '02000000']]);
});

t.test('textOf ends at a zero byte', async (t) => {
  t.equal(textOf(Buffer.from('bpf\0')), 'bpf');
  t.equal(textOf(Buffer.from('bpf')), 'bpf');
  t.equal(textOf(Buffer.from('a\0b\n\0')), 'a');
  t.equal(textOf(Buffer.from('a\nb\0')), 'a\nb');
  t.equal(textOf(Buffer.alloc(0)), '');
  t.equal(textOf(undefined), '');
});

function nameOf(link: Buffer): string {
  return textOf(attributesIn(link.subarray(IFINFO_SIZE)).get(IFLA_IFNAME));
}

t.test('dump returns all objects', async (t) => {
  const links = dump(NETLINK_ROUTE, 'list links', RTM_GETLINK, Buffer.alloc(IFINFO_SIZE));
  t.ok(links.map(nameOf).includes('lo'));
});

t.test('exchange returns the answer to a request for one object', async (t) => {
  const request = Buffer.alloc(IFINFO_SIZE);
  request.writeInt32LE(1, 4);
  const answers = exchange(NETLINK_ROUTE, 'read a link', message(RTM_GETLINK, 0, request));
  t.same(
    answers.map(({ type, payload }) => [type, nameOf(payload)]),
    [[RTM_NEWLINK, 'lo']],
  );
});

function errnoOf(call: () => void): number {
  try {
    call();
  } catch (error) {
    if (error instanceof SystemError) return error.errno;
    throw error;
  }
  return 0;
}

t.test('exchange throws the errno of the kernel’s answer', async (t) => {
  const request = Buffer.alloc(IFINFO_SIZE);
  request.writeInt32LE(0x7ffffff0, 4);
  t.equal(
    errnoOf(() => exchange(NETLINK_ROUTE, 'read a link', message(RTM_GETLINK, 0, request))),
    ENODEV,
  );
});

t.test('change throws the errno of a refused change', async (t) => {
  const request = Buffer.alloc(IFINFO_SIZE);
  request.writeInt32LE(0x7ffffff0, 4);
  const refused = () => change(NETLINK_ROUTE, 'delete a link', RTM_DELLINK, 0, request);
  // Without the privilege the kernel does not look for the link.
  t.ok([ENODEV, EPERM].includes(errnoOf(refused)));
});

t.test('change returns after an acknowledgement', async (t) => {
  const request = Buffer.alloc(IFINFO_SIZE);
  request.writeInt32LE(1, 4);
  const answers = exchange(NETLINK_ROUTE, 'read a link', message(RTM_GETLINK, NLM_F_ACK, request));
  t.equal(answers.length, 1);
});
