import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readStoredMacs, storedMacsFile, storeMacs } from '../../../../src/control/leases/stored-macs.js';
import { catchLog } from '../../../support/catch-log.js';
import { VXLAN } from '../../../support/conf.js';
import { nodeLease } from '../../../support/leases.js';

t.test('storedMacsFile restores the stored MACs after the run directory was deleted', async (t) => {
  const runDir = join(t.testdir({}), 'run');
  const path = join(runDir, 'vtep-macs.json');
  await storeMacs(runDir, VXLAN, { ipv4: nodeLease(1) });
  const text = readFileSync(path, 'utf8');
  const file = await storedMacsFile(runDir);
  t.equal(await file.isIntact(), true);
  rmSync(runDir, { recursive: true });
  t.equal(await file.isIntact(), false);
  await file.restore();
  t.equal(readFileSync(path, 'utf8'), text);
});

t.test('storedMacsFile makes no file for a source that stores no MAC', async (t) => {
  const file = await storedMacsFile(t.testdir({}));
  t.equal(await file.isIntact(), true);
});

t.test('storeMacs logs and drops invalid parts of the file, and keeps the MACs of other VNIs', async (t) => {
  const log = catchLog(t);
  const mac = '02:00:00:00:00:07';
  const stored = { 7: { ipv4: mac.toUpperCase(), ipv6: 'x\n' }, '8\n': {}, 99999999: {}, 9: 'x', other: 1 };
  const runDir = t.testdir({ 'vtep-macs.json': JSON.stringify(stored) });
  await storeMacs(runDir, VXLAN, { ipv4: nodeLease(1) });
  const path = join(runDir, 'vtep-macs.json');
  t.same(JSON.parse(readFileSync(path, 'utf8')), { 1: { ipv4: '02:00:00:00:00:01' }, 7: { ipv4: mac } });
  t.same(log, [`W ${path}: ignoring 5 invalid entries`]);
});

t.test('readStoredMacs logs a file that it cannot read, and storeMacs replaces it', async (t) => {
  const log = catchLog(t);
  const runDir = t.testdir({});
  const path = join(runDir, 'vtep-macs.json');
  execFileSync('mkfifo', [path], { stdio: 'ignore' });
  t.same(await readStoredMacs(runDir, VXLAN), {});
  t.same(log, [`W ${path}: ignoring the stored VTEP MACs: this is a FIFO; name a file`]);
  await storeMacs(runDir, VXLAN, { ipv4: nodeLease(1) });
  t.same(await readStoredMacs(runDir, VXLAN), { ipv4: '02:00:00:00:00:01' });
});
