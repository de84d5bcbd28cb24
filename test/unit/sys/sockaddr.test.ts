import t from 'tap';
import { IPV4, IPV6, sockaddr, socketFamilyOf } from '../../../src/sys/sockaddr.js';
import { ipv4, ipv6, toHex } from '../../support/bytes.js';

t.test('sockaddr writes a sockaddr_in: AF_INET, then port and address in network order', async (t) => {
  t.equal(toHex(sockaddr(ipv4('192.168.77.2'), 8472)), `02002118c0a84d02${'00'.repeat(8)}`);
});

t.test(
  'sockaddr writes a sockaddr_in6: AF_INET6, port, flow information 0, address in network order, scope 0',
  async (t) => {
    t.equal(
      toHex(sockaddr(ipv6('2001:db8:0:1:8000:ffff:7fff:fffe'), 8472)),
      '0a002118' + '00000000' + '20010db8000000018000ffff7ffffffe' + '00000000',
    );
  },
);

t.test('socketFamilyOf distinguishes IPv4 from IPv6 addresses', async (t) => {
  t.equal(socketFamilyOf(ipv4('192.168.77.2')), IPV4);
  t.equal(socketFamilyOf(ipv6('::1')), IPV6);
});
