import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { weft, weftWith } from '../../support/weft-command.js';

const PACKAGE = fileURLToPath(new URL('../../../../package.json', import.meta.url));

const { version } = JSON.parse(readFileSync(PACKAGE, 'utf8')) as { version: string };

t.test('weft --version prints the version of the package on stdout', async (t) => {
  t.same(await weft('--version'), { code: 0, stdout: `weft ${version}\n`, stderr: '' });
});

t.test('weft run -version prints the version on stderr, as flanneld does', async (t) => {
  t.same(await weft('run', '-version'), { code: 0, stdout: '', stderr: `weft ${version}\n` });
});

t.test('weft run and weft doctor print an error in the flags as one line and exit with 2', async (t) => {
  for (const [args, says] of [
    [['run', '-foo'], 'flag provided but not defined: -foo'],
    [['doctor', '--workers', '0'], 'invalid value "0" for flag -workers: value out of range'],
    [['run', '--lease-file', 'x', '--kube-subnet-mgr'], '--lease-file and --kube-subnet-mgr are two sources'],
  ] as const) {
    const { code, stdout, stderr } = await weft(...args);
    t.equal(code, 2, args.join(' '));
    t.ok(stderr.startsWith(`weft ${args[0]}: ${says}`), stderr);
    t.equal(stderr.split('\n').length, 2, stderr);
    t.equal(stdout, '');
  }
});

t.test('weft run logs its error as one line in the chosen format and exits with 1', async (t) => {
  const says = 'Invalid subnet-lease-renew-margin option, out of acceptable range: 0;';
  const klog = await weft('run', '-subnet-lease-renew-margin', '0');
  t.same([klog.code, klog.stdout], [1, '']);
  t.match(klog.stderr, /^E\d{4} [^\n]* main\.js:\d+\] Invalid [^\n]*\n$/);
  t.match(klog.stderr, says);
  const json = await weft('run', '-subnet-lease-renew-margin', '0', '--log-format', 'json');
  t.match(JSON.parse(json.stderr), { level: 'error', msg: new RegExp(`^${says}`) });
  t.equal(json.code, 1);
});

t.test('weft run logs a variable with an invalid value and continues', async (t) => {
  const { code, stderr } = await weftWith(
    { FLANNELD_HEALTHZ_PORT: 'x', FLANNELD_SUBNET_LEASE_RENEW_MARGIN: '1440' },
    'run',
  );
  const lines = stderr.trimEnd().split('\n');
  t.equal(code, 1);
  t.match(
    lines[0],
    /^E.*\] Failed to set flag FLANNELD from env: invalid value "x" for FLANNELD_HEALTHZ_PORT: /,
  );
  // The header names the module, not the bundle that contains it.
  t.match(lines[0], / command\.js:\d+\]/);
  t.match(lines[1], /^E.*\] Invalid subnet-lease-renew-margin option, out of acceptable range: 1440;/);
  t.equal(lines.length, 2);
});

t.test('weft run warns of a word that hides the flags behind it', async (t) => {
  const wrong = ['run', '--subnet-lease-renew-margin', '0', '--ip-masq'];
  const { stderr } = await weft(...wrong, 'false', '--workers', '2');
  t.match(stderr, /^W[^\n]* ignoring "false" and all words after it: it is no flag; [^\n]*\nE/);
  t.match((await weft(...wrong, '--', 'false')).stderr, /^E[^\n]*\n$/);
});

t.test('weft run logs its flags first, except with a lease file', async (t) => {
  // Node preloads this module; it pretends an unsupported platform.
  const unsupported = {
    NODE_OPTIONS: "--import=data:text/javascript,Object.defineProperty(process,'platform',{value:'sunos'})",
  };
  const kube = await weftWith(unsupported, 'run', '--kube-subnet-mgr', '-v=1');
  const [first, second] = kube.stderr.split('\n');
  const etcd = await weftWith(unsupported, 'run');
  t.match(
    etcd.stderr.split('\n')[1],
    /^I.*\] leases from etcd on this machine, .* --lease-file chooses another/,
  );
  t.match(first, /^I.*\] CLI flags config: \{etcdEndpoints:.* kubeSubnetMgr:true .*\}$/);
  t.match(second, /^E.*\] platform sunos is not supported/);
  const file = await weftWith(unsupported, 'run', '--lease-file', 'x');
  t.match(file.stderr, /^E.*\] platform sunos is not supported[^\n]*\n$/);
});

t.test('weft doctor reports a 32-bit userland as a finding', async (t) => {
  const arm = {
    NODE_OPTIONS: "--import=data:text/javascript,Object.defineProperty(process,'arch',{value:'arm'})",
  };
  const { code, stdout, stderr } = await weftWith(arm, 'doctor');
  t.match(stdout, /^weft doctor: 1 error\n\nERROR {4}architecture arm is not supported: [^]*32-bit/);
  t.match(stderr, /^weft: architecture arm [^\n]*\n$/);
  const json = await weftWith(arm, 'doctor', '--json');
  t.match(JSON.parse(json.stdout), { healthy: false, findings: [{ id: 'platform', severity: 'error' }] });
  t.strictSame([code, json.code], [1, 1]);
});

t.test('weft doctor prints its error as one line without a log header', async (t) => {
  const { code, stderr } = await weft('doctor', '-subnet-lease-renew-margin=0');
  t.equal(code, 1);
  t.match(stderr, /^weft: Invalid subnet-lease-renew-margin [^\n]*\n$/);
});

t.test('weft status prints one line and exits with 1 if Weft does not run', async (t) => {
  // A socket path has at most 107 bytes (sun_path, linux/un.h); t.testdir has a long name.
  const scratch = mkdtempSync(join(tmpdir(), 'weft-'));
  t.teardown(() => rmSync(scratch, { recursive: true }));
  const dir = join(scratch, 'run');
  for (const [place, ...args] of [[dir], [dir, '--json'], [PACKAGE]] as const) {
    const { code, stdout, stderr } = await weft('status', '--run-dir', place, ...args);
    t.equal(code, 1);
    t.match(stderr, `weft: --run-dir ${place}: Weft is not running there`);
    t.equal(stderr.split('\n').length, 2);
    t.equal(stdout, '');
  }
});

t.test('weft logs quotes around a value as one line and exits with 1', async (t) => {
  const flag = await weft('run', `--iface='eth0'`);
  t.equal(flag.code, 1);
  t.match(flag.stderr, /^E[^\n]*\] invalid value "'eth0'" for --iface: the quote characters [^\n]*\n$/);
  const variable = await weftWith({ FLANNELD_PUBLIC_IP: '"192.0.2.1"' }, 'run');
  t.equal(variable.code, 1);
  t.match(
    variable.stderr,
    /^E[^\n]*\] invalid value "\\"192.0.2.1\\"" for FLANNELD_PUBLIC_IP: the quote [^\n]*\n$/,
  );
  const status = await weft('status', '--run-dir="/run/weft"');
  t.equal(status.code, 1);
  t.match(status.stderr, /^weft: invalid value "\\"\/run\/weft\\"" for --run-dir: the quote [^\n]*\n$/);
});
