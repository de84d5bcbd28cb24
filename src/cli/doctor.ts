/** `weft doctor`: what this node has and lacks, and the command that corrects each problem. It changes nothing. */

import { examine, type Report } from '../control/doctor/examine.js';
import type { RunOptions } from '../control/options.js';
import { printableValues } from '../control/support/printable.js';
import { UserError } from '../control/support/user-error.js';
import { formatReport } from './doctor-text.js';
import { count } from './text.js';

export interface DoctorOptions {
  json: boolean;
  peers: boolean;
}

/** Prints the report. The platform is already checked. @throws UserError if the report has an error */
export async function diagnose(options: RunOptions, { json, peers }: DoctorOptions): Promise<void> {
  const report = await examine(options, peers);
  const shown = json ? `${JSON.stringify(printableValues(report), null, 2)}\n` : formatReport(report);
  process.stdout.write(shown);
  if (!report.healthy) throw new UserError(failure(report));
}

function failure({ findings }: Report): string {
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  return `weft doctor found ${count(errors, 'error')}; each has its remedy in the report`;
}
