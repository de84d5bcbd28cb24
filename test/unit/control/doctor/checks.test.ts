import t from 'tap';
import { checkClock } from '../../../../src/control/doctor/clock.js';
import { vxlanModule } from '../../../../src/control/doctor/features.js';
import { checkCni, checkDhcp, checkFlanneld } from '../../../../src/control/doctor/rivals.js';

const DAY = 86_400_000;

t.test(
  'checkClock reports a time before the build, and a clock that nobody sets where TLS needs it',
  async (t) => {
    const clock = { now: 100 * DAY, built: 50 * DAY, synchronised: true };
    t.strictSame(checkClock(clock, true), []);
    t.strictSame(checkClock({ ...clock, synchronised: false }, false), []);
    t.match(checkClock({ ...clock, synchronised: false }, true), [{ id: 'clock-unsynchronised' }]);
    t.match(checkClock({ ...clock, now: 0 }, true), [{ id: 'clock-wrong', severity: 'error' }]);
    t.match(checkClock({ ...clock, now: 0 }, false), [{ id: 'clock-wrong', severity: 'warning' }]);
  },
);

t.test('vxlanModule finds the module in memory and on disk, and knows what a container hides', async (t) => {
  const root = (files: Parameters<typeof t.testdir>[0]) => `${t.testdir(files)}/`;
  t.equal(vxlanModule(root({ sys: { module: { vxlan: {} } } }), '6.1.0'), 'loaded');
  const list =
    'kernel/net/x.ko.xz:\nkernel/drivers/net/vxlan/vxlan.ko.xz: kernel/net/ipv4/udp_tunnel.ko.xz\n';
  const sys = { module: {} };
  const onDisk = (text: string) => root({ sys, lib: { modules: { '6.1.0': { 'modules.dep': text } } } });
  t.equal(vxlanModule(onDisk(list), '6.1.0'), 'available');
  t.equal(vxlanModule(onDisk(''), '6.1.0'), 'absent');
  t.equal(vxlanModule(root({ sys }), '6.1.0'), 'unknown');
  t.equal(vxlanModule(root({ lib: { modules: { '6.1.0': {} } } }), '6.1.0'), 'unknown');
});

t.test(
  'checkFlanneld names the command that ends a flanneld of a unit, of a pod and of a shell',
  async (t) => {
    for (const [cgroup, fix] of [
      ['0::/system.slice/flanneld.service\n', 'systemctl disable --now flanneld.service'],
      ['0::/kubepods.slice/pod1/cri-2.scope\n', /^Keep kube-flannel off this node/],
      ['0::/user.slice/session-1.scope\n', 'kill 7'],
    ] as const) {
      const proc = t.testdir({
        self: { ns: { net: t.fixture('symlink', 'net:[1]') } },
        7: {
          exe: t.fixture('symlink', '/opt/bin/flanneld'),
          cgroup,
          ns: { net: t.fixture('symlink', 'net:[1]') },
        },
        8: {
          exe: t.fixture('symlink', '/opt/bin/flanneld'),
          cgroup,
          ns: { net: t.fixture('symlink', 'net:[2]') },
        },
        // Weft's alias: a script, which Node.js runs.
        9: {
          exe: t.fixture('symlink', '/usr/bin/node'),
          comm: 'flanneld\n',
          ns: { net: t.fixture('symlink', 'net:[1]') },
        },
      });
      t.match(checkFlanneld(false, proc), [{ id: 'flanneld-runs', severity: 'error', fix }]);
      t.match(checkFlanneld(true, proc), [{ severity: 'warning' }]);
    }
  },
);

t.test("checkDhcp leaves the device's own address alone, and names the client", async (t) => {
  const proc = t.testdir({
    self: { ns: { net: t.fixture('symlink', 'net:[1]') } },
    7: { exe: t.fixture('symlink', '/usr/sbin/dhcpcd'), ns: { net: t.fixture('symlink', 'net:[1]') } },
  });
  const own = { local: '10.244.1.0', prefixlen: 32 };
  t.strictSame(checkDhcp('flannel.1', '10.244.1.0', [own], proc), []);
  const given = { local: '192.168.1.5', prefixlen: 24, dynamic: true };
  t.match(checkDhcp('flannel.1', '10.244.1.0', [own, given], proc), [
    { what: /192\.168\.1\.5\/24 of a DHCP client \(dhcpcd, pid 7\)/, fix: /denyinterfaces/ },
  ]);
});

t.test('checkDhcp ends the client of the device, never that of the underlay', async (t) => {
  const client = (device: string) => ({
    exe: t.fixture('symlink', '/usr/sbin/udhcpc'),
    cmdline: `udhcpc\0-i\0${device}\0`,
    ns: { net: t.fixture('symlink', 'net:[1]') },
  });
  const self = { ns: { net: t.fixture('symlink', 'net:[1]') } };
  const given = [{ local: '169.254.1.5', prefixlen: 16 }];
  const both = t.testdir({ self, 7: client('eth0'), 8: client('flannel.1') });
  t.match(checkDhcp('flannel.1', '10.244.1.0', given, both), [{ what: /udhcpc, pid 8/, fix: 'kill 8' }]);
  t.match(checkDhcp('flannel.2', '10.244.1.0', given, both), [
    { what: /of a DHCP client$/, fix: 'ip address delete 169.254.1.5/16 dev flannel.2' },
  ]);
});

t.test('checkCni reports a file before that of flannel only', async (t) => {
  const conf = (type: string) => JSON.stringify({ plugins: [{ type }] });
  const flannel = { '10-flannel.conflist': conf('flannel') };
  t.strictSame(
    await checkCni(t.testdir({ ...flannel, '20-x.conf': conf('x'), '05-x.disabled': conf('x') })),
    [],
  );
  t.strictSame(
    await checkCni(t.testdir({ '05-podman.conflist': conf('bridge') })),
    [],
    'no flannel, no conflict',
  );
  t.match(await checkCni(t.testdir({ ...flannel, '05-x.conf': '{ broken' })), [
    { id: 'cni-conflict', what: /type unknown/ },
  ]);
});
