import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import t from 'tap';
import {
  openTxSockets,
  openUdpSockets,
  prepareTxSocket,
  receiveDrops,
} from '../../../../src/dataplane/io/udp-socket.js';
import {
  IP_MTU_DISCOVER,
  IP_PMTUDISC_DONT,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_MTU_DISCOVER,
  IPV6_V6ONLY,
  SO_REUSEPORT,
  SOL_SOCKET,
} from '../../../../src/sys/constants.js';
import { close, getsockopt } from '../../../../src/sys/ffi.js';
import { IPV4 } from '../../../../src/sys/sockaddr.js';
import { SystemError } from '../../../../src/sys/system-error.js';
import { ipv4, ipv6 } from '../../../support/bytes.js';
import { freePort } from '../../../support/free-port.js';

const ADDRESS = '127.0.0.1';

function option(fd: number, level: number, name: number): number {
  const value = new Int32Array(1);
  const length = new Uint8Array(new Int32Array([4]).buffer);
  getsockopt(fd, level, name, new Uint8Array(value.buffer), length);
  return value[0];
}

t.test('openUdpSockets binds a socket and refuses a second one on its address and port', async (t) => {
  const port = await freePort(ADDRESS);
  const fds = openUdpSockets(ipv4(ADDRESS), port, 1);
  t.equal(fds.length, 1);
  t.equal(option(fds[0], SOL_SOCKET, SO_REUSEPORT), 0);
  t.throws(() => openUdpSockets(ipv4(ADDRESS), port, 1), { syscall: 'bind', code: 'EADDRINUSE' });
  t.throws(() => openUdpSockets(ipv4(ADDRESS), port, 2), { syscall: 'bind', code: 'EADDRINUSE' });
  for (const fd of fds) close(fd);
});

t.test('openUdpSockets lets its own sockets share the port and no others', async (t) => {
  const port = await freePort(ADDRESS);
  const fds = openUdpSockets(ipv4(ADDRESS), port, 3);
  t.equal(new Set(fds).size, 3);
  for (const fd of fds) t.equal(option(fd, SOL_SOCKET, SO_REUSEPORT), 1);
  t.throws(() => openUdpSockets(ipv4(ADDRESS), port, 3), { syscall: 'bind', code: 'EADDRINUSE' });
  for (const fd of fds) close(fd);
});

t.test('openUdpSockets throws EADDRINUSE for a port of another process', async (t) => {
  const other = createSocket('udp4');
  other.bind(0, ADDRESS);
  await once(other, 'listening');
  t.teardown(() => other.close());
  const error = new SystemError('bind', -98);
  t.throws(() => openUdpSockets(ipv4(ADDRESS), other.address().port, 1), error);
});

t.test('openUdpSockets leaves no descriptor open when it fails', async (t) => {
  const port = await freePort(ADDRESS);
  const taken = openUdpSockets(ipv4(ADDRESS), port, 1);
  const next = nextDescriptor();
  t.throws(() => openUdpSockets(ipv4(ADDRESS), port, 2));
  t.equal(nextDescriptor(), next);
  for (const fd of taken) close(fd);
});

/** The number the next descriptor will have: the lowest free one. */
function nextDescriptor(): number {
  const [fd] = openUdpSockets(ipv4(ADDRESS), 0, 1);
  close(fd);
  return fd;
}

t.test('openUdpSockets throws EADDRNOTAVAIL for an address of another host', async (t) => {
  t.throws(() => openUdpSockets(ipv4('192.0.2.1'), 0, 1), { syscall: 'bind', code: 'EADDRNOTAVAIL' });
});

t.test('openUdpSockets makes the receive buffer at least as large as the default', async (t) => {
  const [fd] = openUdpSockets(ipv4(ADDRESS), 0, 1);
  const SO_RCVBUF = 8;
  const asked = option(fd, SOL_SOCKET, SO_RCVBUF);
  const plain = createSocket('udp4');
  plain.bind(0, ADDRESS);
  await once(plain, 'listening');
  t.ok(asked >= plain.getRecvBufferSize());
  plain.close();
  close(fd);
});

t.test('prepareTxSocket turns DF off', async (t) => {
  const [fd] = openUdpSockets(ipv4(ADDRESS), 0, 1);
  t.not(option(fd, IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_DONT);
  prepareTxSocket(fd, IPV4);
  t.equal(option(fd, IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_DONT);
  close(fd);
});

t.test('openUdpSockets leaves the same IPv4 port free for an IPv6 address', async (t) => {
  const port = await freePort('::1');
  const fds = openUdpSockets(ipv6('::1'), port, 2);
  for (const fd of fds) t.equal(option(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
  t.throws(() => openUdpSockets(ipv6('::1'), port, 1), { syscall: 'bind', code: 'EADDRINUSE' });
  const [other] = openUdpSockets(ipv4(ADDRESS), port, 1);
  for (const fd of [...fds, other]) close(fd);
});

t.test('openTxSockets throws EADDRNOTAVAIL for an IPv6 address of another host', async (t) => {
  t.throws(() => openTxSockets(ipv6('2001:db8::1')), { syscall: 'bind', code: 'EADDRNOTAVAIL' });
});

t.test('openTxSockets lets the kernel fragment large datagrams over IPv6', async (t) => {
  const fds = openTxSockets(ipv6('::1'));
  const IPV6_PMTUDISC_DONT = 0;
  for (const fd of fds) {
    t.equal(option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER), IPV6_PMTUDISC_DONT);
    close(fd);
  }
});

t.test('receiveDrops returns 0 for a new socket and more after an overflow', async (t) => {
  const port = await freePort(ADDRESS);
  const [fd] = openUdpSockets(ipv4(ADDRESS), port, 1);
  t.equal(receiveDrops(fd), 0);
  const sender = createSocket('udp4');
  const datagram = new Uint8Array(60_000);
  const deadline = Date.now() + 5000;
  while (receiveDrops(fd) === 0 && Date.now() < deadline) {
    await new Promise((resolve) => sender.send(datagram, port, ADDRESS, resolve));
  }
  t.ok(receiveDrops(fd) > 0);
  sender.close();
  close(fd);
});

t.test('receiveDrops returns 0 for a descriptor without statistics', async (t) => {
  t.equal(receiveDrops(-1), 0);
});
