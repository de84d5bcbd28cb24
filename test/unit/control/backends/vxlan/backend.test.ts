import t from 'tap';
import { vxlanBackend } from '../../../../../src/control/backends/vxlan/backend.js';
import type { VxlanConf } from '../../../../../src/control/config/net-conf.js';
import type { Dataplane } from '../../../../../src/dataplane/dataplane.js';
import { VXLAN } from '../../../../support/conf.js';

function overlay(changes: Partial<VxlanConf> = {}) {
  return vxlanBackend({ ...VXLAN, ...changes }).overlay({} as Dataplane, {
    device: 'flannel.1',
    mtu: 1450,
    network: { base: 0x0af40000, prefixLength: 16 },
    signal: new AbortController().signal,
    save: async () => {},
  });
}

t.test('with direct routes whatever changes the way to a peer is looked at', (t) => {
  const direct = overlay({ directRouting: true });
  for (const [kind, text] of [
    ['ROUTE', '192.168.77.2 via 192.168.77.99 dev eth0'],
    ['ROUTE', 'Deleted unreachable 192.168.77.2'],
    ['ROUTE', 'default via 192.168.77.254 dev eth0'],
    ['RULE', '32765:\tfrom all to 192.168.77.2 lookup 100'],
  ] as const) {
    t.equal(direct.concerns({ kind, text }), true, text);
    t.equal(overlay().concerns({ kind, text }), false, `${text}, without them`);
  }
  t.equal(
    direct.concerns({ kind: 'NEIGH', text: '192.168.77.2 dev eth0 lladdr 02:00:00:00:00:02 STALE' }),
    false,
  );
  t.end();
});

t.test('what happens to the device is looked at', (t) => {
  t.equal(overlay().concerns({ kind: 'NEIGH', text: 'Deleted 10.244.2.0 dev flannel.1 lladdr' }), true);
  t.equal(overlay().concerns({ kind: 'LINK', text: '7: eth1: <BROADCAST>' }), false);
  t.end();
});
