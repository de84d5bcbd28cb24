/** On a machine that cannot run it, weft run ends before any change, with one line that names the remedy. */

import t from 'tap';
import { startKernel } from '../../../lab/dataplanes/kernel.js';
import { exec } from '../../../lab/exec.js';
import { ipBatch } from '../../../lab/ip.js';
import { HandmadePeer } from '../peer/handmade.js';
import { makeBed, startWeft, withKernelVxlan } from '../support/bed.js';
import { makePlace, runCommand, runFlags, startCommand } from '../support/cli.js';
import { answered } from '../support/pings.js';
import { refused } from '../support/refusal.js';
import { networkOf, statusOf } from '../support/state.js';

/** Runs a command with a private /dev/net that a line of shell fills. */
function withDevNet(line: string): string[] {
  const mounted = `mount -t tmpfs tmpfs /dev/net && ${line} && exec "$@"`;
  return ['unshare', '--mount', 'sh', '-c', mounted, 'sh'];
}

/** Runs a command whose Node reports another platform or architecture. */
function pretending(property: 'arch' | 'platform', value: string): NodeJS.ProcessEnv {
  const code = `Object.defineProperty(process,'${property}',{value:'${value}'})`;
  return { NODE_OPTIONS: `--import=data:text/javascript,${code}` };
}

t.test('weft run refuses a machine that lacks a requirement', async (t) => {
  const lab = await makeBed(t, { name: 'badmachine' });
  const node = lab.node(1);

  await t.test('no /dev/net/tun', (t) =>
    refused(t, node, { under: withDevNet('true'), line: /\/dev\/net\/tun: no such device: .*modprobe tun/ }),
  );

  await t.test('a /dev/net/tun without a driver', (t) =>
    refused(t, node, {
      under: withDevNet('mknod /dev/net/tun c 240 200'),
      line: /\/dev\/net\/tun: .*modprobe tun/,
    }),
  );

  await t.test('a user other than root', (t) =>
    refused(t, node, {
      // The capabilities to read and run the files of this test.
      under: [
        ...['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'],
        ...['--inh-caps=-all,+dac_override', '--ambient-caps=-all,+dac_override'],
      ],
      line: /user 65534 lacks CAP_NET_ADMIN.*: run as root/,
    }),
  );

  await t.test('root without CAP_NET_ADMIN', (t) =>
    refused(t, node, {
      under: ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'],
      line: /user 0 lacks CAP_NET_ADMIN.*grant the capability/,
    }),
  );

  for (const arch of ['arm', 'ia32', 's390x']) {
    await t.test(`architecture ${arch}`, (t) =>
      refused(t, node, { env: pretending('arch', arch), line: new RegExp(`architecture ${arch} .*64-bit`) }),
    );
  }

  for (const platform of ['darwin', 'win32']) {
    await t.test(`platform ${platform}`, (t) =>
      refused(t, node, { env: pretending('platform', platform), line: /platform .*Linux/ }),
    );
  }

  await t.test('no `ip` in PATH', (t) =>
    refused(t, node, { under: ['env', 'PATH=/nowhere'], line: /ip: command not found.*iproute2/ }),
  );
});

t.test('weft run waits for an interface it cannot use yet, and names it', async (t) => {
  const lab = await makeBed(t, { name: 'badiface' });
  const node = lab.node(1);
  await ipBatch(node.netns, ['link add bare type bridge']);
  for (const [what, iface, line] of [
    [
      'a name that no interface has',
      'eth7',
      /--iface eth7: no interface .*interfaces: lo:\[\], cni0:\[10\.244\.1\.1\]/,
    ],
    [
      'an address that no interface has',
      '192.168.77.7',
      /--iface 192\.168\.77\.7: no interface has this name/,
    ],
    [
      'an interface without an address',
      'bare',
      /--iface bare: failed to find IPv4 address for interface bare; /,
    ],
    [
      'no --iface and no default route',
      undefined,
      /unable to find default route; .*--iface \(interfaces: lo/,
    ],
  ] as const) {
    await t.test(what, async (t) => {
      const place = await makePlace(node);
      const weft = startCommand(t, node, runFlags(place, iface));
      await weft.waitFor(new RegExp(`waiting for the underlay: .*${line.source}`));
      const { notReady } = await statusOf(place);
      t.match(notReady, line, 'weft status answers meanwhile');
      t.match(await weft.stop(), { code: 0 });
    });
  }
});

t.test('weft run refuses a pattern that is no regular expression', async (t) => {
  const lab = await makeBed(t, { name: 'badregex' });
  const place = await makePlace(lab.node(1));
  const { code, stderr } = await runCommand(lab.node(1), runFlags(place, undefined, '--iface-regex', '('));
  t.equal(code, 1);
  t.match(stderr, /^E.*\] .*could not compile the IP address regex/);
});

t.test('weft run refuses a UDP port that a process uses', async (t) => {
  const lab = await makeBed(t, { name: 'badport' });
  await HandmadePeer.start(lab.node(1), lab.node(2));
  await refused(t, lab.node(1), {
    line: /UDP port 8472 of 192\.168\.77\.1 is taken by another process; .*ss -lunp.*Backend\.Port/,
  });
});

t.test('weft run refuses a UDP port that a kernel vxlan device uses', await withKernelVxlan(), async (t) => {
  const lab = await makeBed(t, { name: 'badvxport' });
  const node = lab.node(1);
  await ipBatch(node.netns, [
    `link add vx7 type vxlan id 7 dev ${node.iface} local ${node.address} dstport 8472`,
    'link set vx7 up',
  ]);
  await refused(t, node, {
    line: /UDP port 8472 .* taken by the kernel vxlan device vx7; remove it \(ip link delete vx7\)/,
  });
});

t.test('weft run refuses a flannel.1 that is a kernel vxlan device', await withKernelVxlan(), async (t) => {
  const lab = await makeBed(t, { name: 'baddevice' });
  const node = lab.node(1);
  await startWeft(t, lab.node(2));
  const kernel = await startKernel(node);
  t.teardown(() => kernel.stop().catch(() => undefined));

  await t.test('the error names the kind of the device', (t) =>
    refused(t, node, {
      line: /flannel\.1 exists: it is a kernel vxlan device \(VNI 1, UDP port 8472\).*: ip link delete flannel\.1$/m,
    }),
  );

  await t.test('the command in the error removes the device, and Weft starts', async (t) => {
    const place = await makePlace(node);
    const { stderr } = await runCommand(node, runFlags(place, node.iface));
    const command = /: (ip link delete \S+)$/m.exec(stderr)?.[1] ?? '';
    await exec(command.split(' '), { netns: node.netns });
    await startWeft(t, node);
    await answered(t, lab.pod(1), lab.pod(2).address, 'pods reach each other');
  });
});

t.test('weft run refuses a flannel.1 of another kind', async (t) => {
  const lab = await makeBed(t, { name: 'badkind' });
  const node = lab.node(1);
  for (const [add, line] of [
    [
      'tuntap add flannel.1 mode tap',
      /flannel\.1 exists: it is a tun\/tap device.*: ip link delete flannel\.1$/m,
    ],
    [
      'link add flannel.1 type bridge',
      /flannel\.1 exists: it is a bridge device.*: ip link delete flannel\.1$/m,
    ],
  ] as const) {
    await ipBatch(node.netns, [add]);
    await refused(t, node, { line });
    await ipBatch(node.netns, ['link delete flannel.1']);
  }
});

t.test('weft run refuses files that it cannot write, and undoes what it had set up', async (t) => {
  const lab = await makeBed(t, { name: 'badplace' });
  const node = lab.node(1);
  const place = await makePlace(node);
  for (const [what, changed, line] of [
    [
      'run directory',
      { ...place, runDir: `${place.leaseFile}/run` },
      /^E.*\] --run-dir \S+: cannot create the control socket [^\n]+\n$/m,
    ],
    [
      'subnet file',
      { ...place, subnetFile: `${place.leaseFile}/subnet.env` },
      /^E.*\] --subnet-file \S+: cannot be written: [^\n]+\n$/m,
    ],
  ] as const) {
    await t.test(what, async (t) => {
      const before = await networkOf(node);
      const { code, stderr } = await runCommand(node, runFlags(changed, node.iface));
      t.equal(code, 1);
      t.match(stderr, line);
      t.strictSame(await networkOf(node), before, 'the network is as before');
    });
  }
});

t.test('weft run refuses more than one worker together with Learning', async (t) => {
  const lab = await makeBed(t, { name: 'badflags', nodes: 1 });
  await refused(t, lab.node(1), {
    netConf: { Network: '10.244.0.0/16', Backend: { Type: 'vxlan', Learning: true } },
    flags: ['--workers', '2'],
    line: /--workers 2: .*--workers 1 .*net-conf\.json/,
  });
});
