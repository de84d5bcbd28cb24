import t from 'tap';
import { parseLeaseValue } from '../../../src/control/leases/etcd/lease-value.js';
import { validVtepMacIn } from '../../../src/control/leases/kubernetes/annotations.js';
import { messageOf } from '../../../src/control/leases/kubernetes/api-error.js';
import { recordOf } from '../../../src/control/leases/kubernetes/node-record.js';
import { nftObjects } from '../../../src/control/obstacles/filter/nft-rules.js';
import { mentions, refusal } from '../../support/user-error.js';

const LEVELS = 1_000_000;
/** Text of a value that a recursive function cannot process. */
const DEEP = '{"a":['.repeat(LEVELS / 2) + ']}'.repeat(LEVELS / 2);

t.test('a value in etcd that is nested too deeply is refused in one line', async (t) => {
  for (const text of [DEEP, `{"PublicIP":"192.168.77.2","BackendType":"vxlan","BackendData":${DEEP}}`]) {
    const message = await refusal(t, () => parseLeaseValue('/n/subnets/10.5.1.0-24', text));
    mentions(t, message, '/n/subnets/10.5.1.0-24', 'it is nested deeper than 64 levels');
  }
});

t.test('nested JSON from the API server gives no result, and no RangeError', async (t) => {
  t.equal(validVtepMacIn(DEEP), undefined);
  t.equal(validVtepMacIn(`{"VtepMAC":${DEEP}}`), undefined);
  t.equal(messageOf(`{"message":${DEEP}}`, 'fallback'), 'fallback');
  const deep: unknown = JSON.parse(DEEP);
  const node = {
    metadata: { name: 'n', annotations: deep },
    spec: { podCIDRs: [deep] },
    status: { conditions: deep },
  };
  t.match(recordOf(node, 'p/'), { name: 'n', annotations: {}, podCidrs: [] });
});

t.test('nested JSON of nft is refused with a reason', async (t) => {
  t.throws(() => nftObjects(`{"nftables":[${DEEP}]}`, 'rule'), /nested deeper/);
});
