import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  formatSubnetEnv,
  isSubnetEnv,
  readSubnetEnv,
  type SubnetEnv,
  subnetFile,
  writeSubnetEnv,
} from '../../../src/control/subnet-env.js';
import { cidr } from '../../support/addresses.js';
import { catchLog } from '../../support/catch-log.js';
import { mentions, refusal } from '../../support/user-error.js';

const POD = { network: cidr('10.244.0.0/16'), subnet: cidr('10.244.3.0/24') };

const ENV: SubnetEnv = {
  networks: { ipv4: POD },
  mtu: 1450,
  ipMasq: false,
};

const TEXT =
  'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n';

t.test("formatSubnetEnv writes flannel's text to the byte, with the first host of the subnet", async (t) => {
  t.equal(formatSubnetEnv(ENV), TEXT);
  t.equal(
    formatSubnetEnv({
      networks: { ipv4: { network: cidr('10.0.0.0/8'), subnet: cidr('10.255.255.0/26') } },
      mtu: 8951,
      ipMasq: true,
    }),
    'FLANNEL_NETWORK=10.0.0.0/8\nFLANNEL_SUBNET=10.255.255.1/26\nFLANNEL_MTU=8951\nFLANNEL_IPMASQ=true\n',
  );
});

t.test('writeSubnetEnv creates directories and a file that all may read, under any umask', async (t) => {
  const path = join(t.testdir({}), 'a', 'b', 'subnet.env');
  const umask = process.umask(0o077);
  t.teardown(() => process.umask(umask));
  await writeSubnetEnv(subnetFile(path), ENV);
  t.equal(readFileSync(path, 'utf8'), TEXT);
  t.equal(statSync(path).mode & 0o777, 0o644);
});

t.test('writeSubnetEnv replaces an older file and leaves no other file', async (t) => {
  const dir = t.testdir({
    'subnet.env': 'FLANNEL_MTU=1\nand a longer text than the new one, by far, so that a rest would show\n',
  });
  await writeSubnetEnv(subnetFile(join(dir, 'subnet.env')), ENV);
  t.equal(readFileSync(join(dir, 'subnet.env'), 'utf8'), TEXT);
  t.same(readdirSync(dir), ['subnet.env']);
});

t.test('writeSubnetEnv is atomic: a reader sees the old text or the new one', async (t) => {
  const path = join(t.testdir({}), 'subnet.env');
  const texts = [1400, 1450].map((mtu) => formatSubnetEnv({ ...ENV, mtu }));
  await writeSubnetEnv(subnetFile(path), { ...ENV, mtu: 1400 });
  let writing = true;
  const writer = (async () => {
    for (let i = 0; i < 30; i++)
      await writeSubnetEnv(subnetFile(path), { ...ENV, mtu: i % 2 === 0 ? 1450 : 1400 });
    writing = false;
  })();
  let reads = 0;
  while (writing) {
    const text = readFileSync(path, 'utf8');
    if (!texts.includes(text)) t.fail(JSON.stringify(text));
    reads++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  await writer;
  t.ok(reads > 0);
});

t.test('writeSubnetEnv keeps the old content when the new content cannot be written', async (t) => {
  // The name just fits into a directory; that of a temporary file beside it does not.
  const dir = t.testdir({});
  const path = join(dir, 'e'.repeat(255));
  writeFileSync(path, 'old\n');
  mentions(
    t,
    await refusal(t, () => writeSubnetEnv(subnetFile(path), ENV)),
    `--subnet-file ${path}: cannot be written: `,
  );
  t.equal(readFileSync(path, 'utf8'), 'old\n');
  t.equal(readdirSync(dir).length, 1);
});

t.test('writeSubnetEnv names the path that it cannot write, and changes nothing', async (t) => {
  const dir = t.testdir({ file: 'x' });
  mkdirSync(join(dir, 'subnet.env', 'inside'), { recursive: true });
  mentions(
    t,
    await refusal(t, () => writeSubnetEnv(subnetFile(join(dir, 'subnet.env')), ENV)),
    `--subnet-file ${join(dir, 'subnet.env')}: cannot be written: `,
  );
  mentions(
    t,
    await refusal(t, () => writeSubnetEnv(subnetFile(join(dir, 'file', 'subnet.env')), ENV)),
    '--subnet-file',
  );
  t.same(readdirSync(dir).sort(), ['file', 'subnet.env'], 'no temporary file is left');
  t.same(readdirSync(join(dir, 'subnet.env')), ['inside']);
});

const POD6 = { network: cidr('fd00:244::/32'), subnet: cidr('fd00:244:3::/64') };
const LINES6 = 'FLANNEL_IPV6_NETWORK=fd00:244::/32\nFLANNEL_IPV6_SUBNET=fd00:244:3::1/64\n';

t.test('formatSubnetEnv writes the IPv6 lines after the IPv4 lines, or alone', async (t) => {
  t.equal(
    formatSubnetEnv({ ...ENV, networks: { ipv4: POD, ipv6: POD6 } }),
    TEXT.replace('FLANNEL_MTU', `${LINES6}FLANNEL_MTU`),
  );
  t.equal(
    formatSubnetEnv({ networks: { ipv6: POD6 }, mtu: 1430, ipMasq: true }),
    `${LINES6}FLANNEL_MTU=1430\nFLANNEL_IPMASQ=true\n`,
  );
});

t.test(
  'readSubnetEnv reads each family by itself, and returns empty objects for what does not parse',
  async (t) => {
    const file = (text: string): string => join(t.testdir({ f: text }), 'f');
    t.same(await readSubnetEnv(file(TEXT + LINES6)), { ipv4: POD, ipv6: POD6 });
    const crossed = 'FLANNEL_SUBNET=fd00::1/64\nFLANNEL_IPV6_SUBNET=10.1.2.1/24\nFLANNEL_IPV6_NETWORK=pods\n';
    t.same(await readSubnetEnv(file(crossed)), { ipv4: {}, ipv6: {} });
    t.same(await readSubnetEnv('/nowhere/subnet.env'), { ipv4: {}, ipv6: {} });
  },
);

t.test('readSubnetEnv logs what is no file, and returns nothing', async (t) => {
  const log = catchLog(t);
  t.same(await readSubnetEnv('/dev/zero'), { ipv4: {}, ipv6: {} });
  t.same(log, ['W --subnet-file /dev/zero: the earlier subnet is not read: this is a device; name a file']);
});

t.test('isSubnetEnv recognises a file that Weft or flannel wrote', async (t) => {
  const dir = t.testdir({ env: TEXT, other: 'SUBNET=10.244.3.1/24\n' });
  t.equal(await isSubnetEnv(join(dir, 'env')), true);
  t.equal(await isSubnetEnv(join(dir, 'other')), false);
  t.equal(await isSubnetEnv('/dev/null'), false);
  t.equal(await isSubnetEnv(join(dir, 'none')), undefined);
});
