import t from 'tap';
import { isLeft, obsoleteDevices, suits } from '../../../../src/control/kernel/left-devices.js';
import { type Link, parseLinks } from '../../../../src/control/kernel/links.js';

/** A device as `ip -json -details address show` prints it once its process has ended. */
function left(changes: object = {}, data: object = {}): Link {
  const [link] = parseLinks([
    {
      ifindex: 7,
      ifname: 'flannel.1',
      ifalias: 'weft',
      mtu: 1450,
      flags: ['NO-CARRIER', 'BROADCAST', 'MULTICAST', 'UP'],
      linkinfo: { info_kind: 'tun', info_data: { type: 'tap', multi_queue: false, persist: true, ...data } },
      ...changes,
    },
  ]);
  return link as Link;
}

t.test('isLeft accepts a persistent tun device with the alias of Weft and no carrier', async (t) => {
  t.ok(isLeft(left()));
  for (const [what, link] of Object.entries({
    'a device that a process has open': left({ flags: ['UP', 'LOWER_UP'] }),
    'a device of another program': left({ ifalias: undefined }),
    'a device that disappears with its process': left({}, { persist: false }),
    'a device of another kind': left({ linkinfo: { info_kind: 'vxlan', info_data: { persist: true } } }),
    'a name that ip -batch cannot have': left({ ifname: 'tap"0' }),
  }))
    t.notOk(isLeft(link), what);
});

t.test('isLeft accepts a renamed device by its alias', async (t) => {
  t.ok(isLeft(left({ ifname: 'old0' })));
});

t.test('isLeft accepts a device without alias whose name and index are in the journal', async (t) => {
  const bare = left({ ifalias: undefined });
  t.ok(isLeft(bare, [{ name: 'flannel.1', index: 7 }]));
  t.notOk(isLeft(bare, [{ name: 'flannel.1', index: 6 }]), 'another device of this name');
  t.notOk(isLeft(left({ ifalias: undefined, ifname: 'tap0' }), [{ name: 'flannel.1', index: 7 }]));
});

t.test('suits compares name, type and whether there are several queues', async (t) => {
  const wanted = { name: 'flannel.1', type: 'tap', queues: 1 } as const;
  t.ok(suits(left(), wanted));
  t.notOk(suits(left(), { ...wanted, name: 'flannel.2' }));
  t.notOk(suits(left(), { ...wanted, type: 'tun' }));
  t.notOk(suits(left(), { ...wanted, queues: 2 }));
  t.ok(suits(left({}, { multi_queue: true }), { ...wanted, queues: 2 }));
});

t.test('obsoleteDevices returns what earlier runs left and no wanted device can use', async (t) => {
  const links = [left(), left({ ifname: 'flannel.2' }), left({ ifname: 'flannel.3', ifalias: 'mine' })];
  const obsolete = obsoleteDevices(links, [{ name: 'flannel.1', type: 'tap', queues: 1 }], []);
  t.strictSame(
    obsolete.map(({ name }) => name),
    ['flannel.2'],
  );
});
