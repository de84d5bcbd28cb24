import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { storedMacsFile, storeMacs } from '../../../../src/control/leases/stored-macs.js';
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
