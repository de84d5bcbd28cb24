import t from 'tap';
import { SocketDrops, udp6Errors, udpErrors } from '../../../../src/dataplane/io/socket-drops.js';
import { IPV4 } from '../../../../src/sys/sockaddr.js';

/** Drops of two sockets, 10 and 11, and checksum failures of a namespace that had some before. */
function rig() {
  const kernel = { drops: [0, 0], errors: 500, overflows: 300 };
  const drops = new SocketDrops(
    [10, 11],
    IPV4,
    (fd) => kernel.drops[fd - 10] ?? 0,
    () => kernel.errors,
    () => kernel.overflows,
  );
  const read = () => {
    const { rx_drop_socket_overflow, rx_drop_checksum } = drops.read();
    return [rx_drop_socket_overflow, rx_drop_checksum];
  };
  return { kernel, read, drops };
}

t.test(
  'SocketDrops counts drops as filtered while there is a filter, less overflows and failures',
  async (t) => {
    const { kernel, drops } = rig();
    kernel.drops = [5, 0];
    drops.read();
    drops.filtering = true;
    kernel.drops = [105, 0];
    kernel.errors += 7;
    kernel.overflows += 20;
    const expected = { rx_drop_socket_overflow: 25, rx_drop_checksum: 7, rx_drop_filtered: 73 };
    t.same(drops.read(), expected);
    drops.filtering = false;
    kernel.drops = [106, 0];
    t.same(drops.read(), { ...expected, rx_drop_socket_overflow: 26 });
  },
);

t.test('SocketDrops counts drops without a checksum failure as overflows', async (t) => {
  const { kernel, read } = rig();
  t.same(read(), [0, 0]);
  kernel.drops = [3, 4];
  t.same(read(), [7, 0]);
  t.same(read(), [7, 0]);
});

t.test('SocketDrops counts drops with a checksum failure under rx_drop_checksum', async (t) => {
  const { kernel, read } = rig();
  kernel.drops = [5, 0];
  kernel.errors += 5;
  t.same(read(), [0, 5]);
  kernel.drops = [9, 1];
  kernel.errors += 2;
  t.same(read(), [3, 7]);
});

t.test('SocketDrops matches a failure that was counted just before its drop', async (t) => {
  const { kernel, read } = rig();
  kernel.errors += 1;
  t.same(read(), [0, 0]);
  kernel.drops = [1, 0];
  t.same(read(), [0, 1]);
});

t.test('SocketDrops forgets failures of other sockets after one more read', async (t) => {
  const { kernel, read } = rig();
  kernel.errors += 100;
  read();
  read();
  kernel.drops = [2, 0];
  t.same(read(), [2, 0]);
});

t.test('SocketDrops continues when a descriptor refers to a new socket', async (t) => {
  const { kernel, read } = rig();
  kernel.drops = [8, 0];
  read();
  kernel.drops = [1, 0];
  t.same(read(), [9, 0]);
});

t.test('udpErrors reads the Udp lines, not those of UdpLite, and is 0 without them', async (t) => {
  const snmp = `Tcp: InErrs InCsumErrors
Tcp: 1 2
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
Udp: 10 11 12 13 14 15 16 17 18
UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
UdpLite: 20 21 22 23 24 25 26 27 28
`;
  t.equal(udpErrors(snmp, 'InCsumErrors'), 16);
  t.equal(udpErrors(snmp, 'RcvbufErrors'), 14);
  t.equal(udpErrors('Udp: InDatagrams\nUdp: 10\n', 'InCsumErrors'), 0);
  t.equal(udpErrors('', 'InCsumErrors'), 0);
});

t.test('udp6Errors reads the line of UDP over IPv6, and is 0 without it', async (t) => {
  t.equal(udp6Errors('Udp6InErrors    \t3\nUdp6InCsumErrors                \t4\n', 'InCsumErrors'), 4);
  t.equal(udp6Errors('Udp6RcvbufErrors                \t5\n', 'RcvbufErrors'), 5);
  t.equal(udp6Errors('UdpLite6InCsumErrors \t4\n', 'InCsumErrors'), 0);
});
