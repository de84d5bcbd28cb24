/** The report of `weft doctor` on a platform on which Weft does not run. It loads no native code. */

import type { Report } from '../control/doctor/examine.js';
import { findingOf } from '../control/doctor/finding.js';
import { printableValues } from '../control/support/printable.js';
import { version } from '../version.js';
import { formatReport } from './doctor-text.js';

/** Prints the report of a failed check of the platform. @throws any error but a UserError */
export function reportPlatform(error: unknown, json: boolean): void {
  const finding = findingOf(error, 'platform');
  const report: Report = {
    schema: 1,
    version: version(),
    healthy: false,
    running: null,
    level: { name: 'none', reason: 'Weft does not run on this platform' },
    features: null,
    findings: [finding],
    passed: [],
    peers: null,
  };
  process.stdout.write(json ? `${JSON.stringify(printableValues(report), null, 2)}\n` : formatReport(report));
}
