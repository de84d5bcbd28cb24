import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import t from 'tap';
import {
  configureTxSocket,
  openTxSockets,
  openUdpSockets,
  receiveOverflows,
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

t.test('a socket is bound to the address and port, which are then taken', async (t) => {
  const port = await freePort(ADDRESS);
  const fds = openUdpSockets(ipv4(ADDRESS), port, 1);
  t.equal(fds.length, 1);
  t.equal(option(fds[0], SOL_SOCKET, SO_REUSEPORT), 0);
  t.throws(() => openUdpSockets(ipv4(ADDRESS), port, 1), { syscall: 'bind', code: 'EADDRINUSE' });
  t.throws(() => openUdpSockets(ipv4(ADDRESS), port, 2), { syscall: 'bind', code: 'EADDRINUSE' });
  for (const fd of fds) close(fd);
});

t.test('several sockets share the port among themselves and with nobody else', async (t) => {
  const port = await freePort(ADDRESS);
  const fds = openUdpSockets(ipv4(ADDRESS), port, 3);
  t.equal(new Set(fds).size, 3);
  for (const fd of fds) t.equal(option(fd, SOL_SOCKET, SO_REUSEPORT), 1);
  t.throws(() => openUdpSockets(ipv4(ADDRESS), port, 3), { syscall: 'bind', code: 'EADDRINUSE' });
  for (const fd of fds) close(fd);
});

t.test('a port that another process has is refused by the errno', async (t) => {
  const other = createSocket('udp4');
  other.bind(0, ADDRESS);
  await once(other, 'listening');
  t.teardown(() => other.close());
  const error = new SystemError('bind', -98);
  t.throws(() => openUdpSockets(ipv4(ADDRESS), other.address().port, 1), error);
});

t.test('a refused port leaves no descriptor open', async (t) => {
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

t.test('an address that is not on this machine is refused by the errno', async (t) => {
  t.throws(() => openUdpSockets(ipv4('192.0.2.1'), 0, 1), { syscall: 'bind', code: 'EADDRNOTAVAIL' });
});

t.test('the receive buffer holds more than the kernel gives without asking', async (t) => {
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

t.test('a socket that is sent through sends without DF', async (t) => {
  const [fd] = openUdpSockets(ipv4(ADDRESS), 0, 1);
  t.not(option(fd, IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_DONT);
  configureTxSocket(fd, IPV4);
  t.equal(option(fd, IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_DONT);
  close(fd);
});

t.test('an IPv6 socket is of IPv6 only: the same port of IPv4 is free', async (t) => {
  const port = await freePort('::1');
  const fds = openUdpSockets(ipv6('::1'), port, 2);
  for (const fd of fds) t.equal(option(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
  t.throws(() => openUdpSockets(ipv6('::1'), port, 1), { syscall: 'bind', code: 'EADDRINUSE' });
  const [other] = openUdpSockets(ipv4(ADDRESS), port, 1);
  for (const fd of [...fds, other]) close(fd);
});

t.test('an IPv6 address that is not on this machine is refused by the errno', async (t) => {
  t.throws(() => openTxSockets(ipv6('2001:db8::1')), { syscall: 'bind', code: 'EADDRNOTAVAIL' });
});

t.test('an IPv6 socket that is sent through leaves no datagram unsent for its size', async (t) => {
  const fds = openTxSockets(ipv6('::1'));
  const IPV6_PMTUDISC_DONT = 0;
  for (const fd of fds) {
    t.equal(option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER), IPV6_PMTUDISC_DONT);
    close(fd);
  }
});

t.test('overflows are none at first, and are seen', async (t) => {
  const port = await freePort(ADDRESS);
  const [fd] = openUdpSockets(ipv4(ADDRESS), port, 1);
  t.equal(receiveOverflows(fd), 0);
  const sender = createSocket('udp4');
  const datagram = new Uint8Array(60_000);
  const deadline = Date.now() + 5000;
  while (receiveOverflows(fd) === 0 && Date.now() < deadline) {
    await new Promise((resolve) => sender.send(datagram, port, ADDRESS, resolve));
  }
  t.ok(receiveOverflows(fd) > 0);
  sender.close();
  close(fd);
});

t.test('a descriptor that cannot tell has no overflows', async (t) => {
  t.equal(receiveOverflows(-1), 0);
});
