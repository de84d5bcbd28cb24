import t from 'tap';
import { type BackendConf, netConfOf } from '../../../../../src/control/config/net-conf.js';
import { formatLeaseValue, parseLeaseValue } from '../../../../../src/control/leases/etcd/lease-value.js';
import { JsonFile } from '../../../../../src/control/support/json-file.js';
import { cidr, ip } from '../../../../support/addresses.js';
import { mentions, refusal } from '../../../../support/user-error.js';

const IPV4 = { subnet: cidr('10.5.1.0/24'), publicIp: ip('192.168.77.1'), vtepMac: 'c6:00:00:00:00:01' };
const IPV6 = { subnet: cidr('fd00:5::/64'), publicIp: ip('fd00::'), vtepMac: '02:00:00:00:00:06' };

function backend(type: string): BackendConf {
  const text = `{"Network":"10.5.0.0/16","Backend":{"Type":"${type}"}}`;
  return netConfOf(JsonFile.parse('--etcd-prefix', '/net/config', text)).backend;
}

t.test("formatLeaseValue writes flannel's bytes", (t) => {
  const udp = { ipv4: { ...IPV4, vtepMac: undefined } };
  t.equal(formatLeaseValue(udp, backend('udp')), '{"PublicIP":"192.168.77.1","PublicIPv6":null}');
  t.equal(
    formatLeaseValue({ ipv4: IPV4 }, backend('vxlan')),
    '{"PublicIP":"192.168.77.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:00:00:00:00:01"}}',
  );
  t.equal(
    formatLeaseValue({ ipv4: IPV4, ipv6: IPV6 }, backend('vxlan')),
    '{"PublicIP":"192.168.77.1","PublicIPv6":"fd00::","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:00:00:00:00:01"},"BackendV6Data":{"VNI":1,"VtepMAC":"02:00:00:00:00:06"}}',
  );
  t.end();
});

t.test('parseLeaseValue reads only the fields that Weft needs', (t) => {
  for (const [text, backendType, mac] of [
    ['{"PublicIP":"1.2.3.4"}', '', undefined],
    ['{"publicip":"1.2.3.4","More":[1],"BackendType":null}', '', undefined],
    [
      '{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"host-gw","BackendData":"free text"}',
      'host-gw',
      undefined,
    ],
    ['{"PublicIP":"1.2.3.4","BackendType":"vxlan","BackendData":{"VtepMAC":"a","VNI":"x"}}', 'vxlan', 'a'],
  ] as const) {
    const publicIps = { ipv4: ip('1.2.3.4'), ipv6: undefined };
    const vtepMacs = { ipv4: mac, ipv6: undefined };
    t.match(parseLeaseValue('/k', text), { publicIps, backendType, vtepMacs }, text);
  }
  t.end();
});

t.test('parseLeaseValue names what a family lacks', (t) => {
  const data = '{"VtepMAC":"02:00:00:00:00:01"}';
  const start = `{"PublicIP":"1.2.3.4","BackendType":"vxlan","BackendData":${data}`;
  for (const [text, ipv4, ipv6] of [
    [`${start},"PublicIPv6":"fd00::1","BackendV6Data":${data}}`, undefined, undefined],
    [`${start},"PublicIPv6":"fd00::1"}`, undefined, 'BackendV6Data is missing'],
    [`${start},"PublicIPv6":"fd00::1","BackendV6Data":null}`, undefined, 'BackendV6Data is missing'],
    [`${start},"PublicIPv6":"fd00::1","BackendV6Data":{}}`, undefined, 'BackendV6Data.VtepMAC is missing'],
    [`${start},"PublicIPv6":"fd00::1","BackendV6Data":7}`, undefined, 'BackendV6Data 7 is not an object'],
    [
      `${start},"PublicIPv6":"fd00::1","BackendV6Data":{"VtepMAC":{}}}`,
      undefined,
      'BackendV6Data.VtepMAC {} is not a unicast MAC address',
    ],
    [`${start}}`, undefined, 'PublicIPv6 is missing'],
    [`${start},"PublicIPv6":"here"}`, undefined, 'PublicIPv6 "here" is not the address of a node'],
    ['{"PublicIP":"1.2.3.4","BackendType":"vxlan"}', 'BackendData is missing', 'PublicIPv6 is missing'],
    ['{"PublicIP":"1.2.3.4"}', undefined, undefined],
  ] as const) {
    const { problems } = parseLeaseValue('/k', text);
    t.same([problems.ipv4, problems.ipv6], [ipv4, ipv6], text);
  }
  t.end();
});

t.test('parseLeaseValue refuses an invalid value and names its key', async (t) => {
  for (const [text, says] of [
    ['', 'not JSON'],
    ['{"PublicIP":', 'not JSON'],
    ['[]', 'it must be one JSON object'],
    ['{}', 'PublicIP is missing'],
    ['{"PublicIP":"::1"}', 'PublicIP is "::1"'],
    ['{"PublicIP":"0.0.0.0"}', 'PublicIP is "0.0.0.0": not the IPv4 address of a node'],
    ['{"PublicIP":7}', 'PublicIP is 7'],
    ['{"PublicIP":"1.2.3.4","BackendType":"vxlan","BackendData":"x"}', 'BackendData is "x"'],
  ] as const) {
    mentions(
      t,
      await refusal(t, () => parseLeaseValue('/net/subnets/k', text), text),
      '/net/subnets/k',
      says,
    );
  }
});
