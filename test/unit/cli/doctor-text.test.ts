import t from 'tap';
import { formatReport } from '../../../src/cli/doctor-text.js';
import type { Report } from '../../../src/control/doctor/examine.js';
import { findingOf, findingOfObstacle, inOrder, ok, problem } from '../../../src/control/doctor/finding.js';
import { UserError } from '../../../src/control/support/user-error.js';
import { assertSchema } from '../../netns/support/doctor-schema.js';

const WARNING = findingOfObstacle({
  key: 'forwarding net.ipv4.ip_forward',
  message:
    'net.ipv4.ip_forward is 0: the kernel forwards no packet to or from pods; run sysctl -w net.ipv4.ip_forward=1, and set it in /etc/sysctl.d',
  fix: 'sysctl -w net.ipv4.ip_forward=1',
});
const ERROR = findingOf(
  new UserError('UDP port 8472 of 192.168.77.1 is taken by x (a; b); remove it; or change Backend.Port', {
    id: 'port-taken',
    why: "Weft receives the peers' packets on this port, and does not start without it.",
    fix: 'iptables -I FORWARD -s 10.244.0.0/16 -j ACCEPT && iptables -I FORWARD -d 10.244.0.0/16 -j ACCEPT',
  }),
);

const REPORT: Report = {
  schema: 1,
  version: '1.2.3',
  healthy: false,
  running: { pid: 4711, runDir: '/run/weft' },
  level: { name: 'gso', reason: 'Learning needs every packet' },
  features: null,
  findings: inOrder([WARNING, ERROR]),
  passed: [ok('platform', 'Linux x64, Node.js 20.20.2')],
  peers: null,
};

t.test('formatReport prints problems first, in 80 columns, with a command that a shell reads', async (t) => {
  const text = formatReport(REPORT);
  t.equal(
    text,
    `weft doctor: 1 error, 1 warning

ERROR    UDP port 8472 of 192.168.77.1 is taken by x (a; b)
   why:  Weft receives the peers' packets on this port, and does not start
         without it.
   fix:  iptables -I FORWARD -s 10.244.0.0/16 -j ACCEPT && iptables -I FORWARD \\
         -d 10.244.0.0/16 -j ACCEPT

WARNING  net.ipv4.ip_forward is 0: the kernel forwards no packet to or from pods
   why:  Packets of pods are lost on this node.
   fix:  sysctl -w net.ipv4.ip_forward=1

ok       Linux x64, Node.js 20.20.2
ok       offload level: gso (Learning needs every packet)
`,
  );
  t.ok(text.split('\n').every((line) => line.length <= 80));
});

t.test(
  'formatReport shows a long comment as comments, an instruction as a text, and quoted words whole',
  async (t) => {
    const fixes = [
      'ip link set eth0 mtu 1350   # or "MTU": 1350 in Backend of net-conf.json on every node',
      "Set that node's public IP to 192.168.77.66, or behind NAT use --peer-check mac.",
      "systemd-run --quiet --property=EnvironmentFile=/etc/weft/weft.conf sh -c 'weft doctor $WEFT_FLAGS'",
    ];
    const findings = fixes.map((fix) => problem('tun', 'error', 'what', 'why', fix));
    t.match(
      formatReport({ ...REPORT, findings }),
      `
   fix:  ip link set eth0 mtu 1350
         # or "MTU": 1350 in Backend of net-conf.json on every node

ERROR    what
   why:  why
   fix:  Set that node's public IP to 192.168.77.66, or behind NAT use
         --peer-check mac.

ERROR    what
   why:  why
   fix:  systemd-run --quiet --property=EnvironmentFile=/etc/weft/weft.conf sh \\
         -c 'weft doctor $WEFT_FLAGS'
`,
    );
  },
);

t.test('formatReport of a healthy node names no problem', async (t) => {
  const text = formatReport({ ...REPORT, findings: [], level: { name: 'bpf', reason: null } });
  t.match(text, /^weft doctor: no problem found\n\nok {7}Linux/);
});

t.test('formatReport shows five of many findings of a kind', async (t) => {
  const findings = Array.from({ length: 90 }, (_, index) =>
    problem('changed-mac', 'error', `peer ${index}`, 'why', 'fix'),
  );
  const text = formatReport({ ...REPORT, findings: [...findings, WARNING] });
  t.match(text, /^weft doctor: 90 errors, 1 warning\n/);
  t.equal(text.match(/^ERROR/gm)?.length, 5);
  t.match(text, /\n\n {9}and 85 more of this kind \(changed-mac\); --json lists all\n\nWARNING/);
});

t.test('the schema accepts a report, and refuses one with another key', async (t) => {
  assertSchema(t, REPORT);
  const results: boolean[] = [];
  const record = { ok: (valid: boolean) => results.push(valid) } as never;
  assertSchema(record, { ...REPORT, other: 1 });
  assertSchema(record, { ...REPORT, findings: [problem('tun', 'error', 'what', 'why', '')] });
  t.strictSame(results, [false, false]);
});

t.test('a finding without a known remedy takes what follows the last semicolon', async (t) => {
  const found = findingOf(new UserError('leases.json:3: no lease (a; b) for this node; add one'));
  t.match(found, {
    id: 'cannot-start',
    what: 'leases.json:3: no lease (a; b) for this node',
    fix: 'Add one.',
  });
  t.throws(() => findingOf(new TypeError('defect')), TypeError);
});
