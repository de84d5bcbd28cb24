import t from 'tap';
import {
  formatLeaseValue,
  type LeaseValue,
  parseLeaseValue,
} from '../../../../../src/control/leases/etcd/lease-value.js';
import { ip } from '../../../../support/addresses.js';
import { mentions, refusal } from '../../../../support/user-error.js';

const PLAIN: LeaseValue = {
  publicIp: ip('192.168.77.1'),
  publicIpv6: undefined,
  backendType: '',
  backendData: undefined,
  backendV6Data: undefined,
};

t.test("the bytes are flannel's", (t) => {
  t.equal(formatLeaseValue(PLAIN), '{"PublicIP":"192.168.77.1","PublicIPv6":null}');
  const vxlan = { ...PLAIN, backendType: 'vxlan', backendData: { VtepMAC: 'c6:00:00:00:00:01', VNI: 1 } };
  t.equal(
    formatLeaseValue(vxlan),
    '{"PublicIP":"192.168.77.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:00:00:00:00:01"}}',
  );
  t.equal(
    formatLeaseValue({
      ...vxlan,
      publicIpv6: 0xfd00n << 112n,
      backendV6Data: { VNI: 1, VtepMAC: '02:00:00:00:00:06' },
    }),
    '{"PublicIP":"192.168.77.1","PublicIPv6":"fd00::","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:00:00:00:00:01"},"BackendV6Data":{"VNI":1,"VtepMAC":"02:00:00:00:00:06"}}',
  );
  t.end();
});

t.test('reading asks only for what is needed', (t) => {
  const publicIp = ip('1.2.3.4');
  for (const [text, backendType, vtepMac] of [
    ['{"PublicIP":"1.2.3.4"}', '', undefined],
    ['{"publicip":"1.2.3.4","More":[1],"BackendType":null}', '', undefined],
    [
      '{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"host-gw","BackendData":"free text"}',
      'host-gw',
      undefined,
    ],
    ['{"PublicIP":"1.2.3.4","BackendType":"vxlan","BackendData":{"VtepMAC":"a","VNI":"x"}}', 'vxlan', 'a'],
  ] as const) {
    t.same(parseLeaseValue('/k', text), { publicIp, backendType, vtepMac }, text);
  }
  t.end();
});

t.test('a value that is no good is refused with the key', async (t) => {
  for (const [text, says] of [
    ['', 'not JSON'],
    ['{"PublicIP":', 'not JSON'],
    ['[]', 'it must be one JSON object'],
    ['{}', 'PublicIP is missing'],
    ['{"PublicIP":"::1"}', 'PublicIP is "::1"'],
    ['{"PublicIP":"0.0.0.0"}', 'PublicIP is "0.0.0.0": no IPv4 address that a node can have'],
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
