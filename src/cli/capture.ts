/**
 * `weft capture`: writes what the running Weft records, as pcapng or as lines. On a terminal it prints lines, as tcpdump
 * does; into a pipe, pcapng. Messages go to stderr.
 */

import { openCapture } from '../control/ipc/capture-client.js';
import type { CaptureSummary } from '../control/ipc/protocol.js';
import { printable } from '../control/support/printable.js';
import { show, UserError } from '../control/support/user-error.js';
import { captureRequest } from './capture-options.js';
import { CaptureOutput } from './capture-output.js';
import { UsageError } from './go-flags.js';

type Values = Readonly<Record<string, unknown>>;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function say(line: string): void {
  process.stderr.write(`weft capture: ${printable(line)}\n`);
}

/** @throws UsageError, UserError */
export async function capturePackets(runDir: string, values: Values): Promise<void> {
  const { write: file } = values;
  const onTerminal = process.stdout.isTTY === true;
  const isText = values.text === true || (file === undefined && onTerminal);
  if (!isText && file === '-' && onTerminal)
    throw new UsageError('-w -: pcapng is binary; name a file, or pipe it: weft capture | wireshark -k -i -');
  const request = captureRequest(values, isText ? 'text' : 'pcapng');
  const capture = await openCapture(runDir, request);
  let output: CaptureOutput;
  try {
    output = await CaptureOutput.open(file);
  } catch (error) {
    capture.abort();
    throw error;
  }
  // The reader of a pipe, such as Wireshark, may close it.
  output.watch(() => capture.stop());
  const stop = (): void => {
    // A second signal ends the process at once, also if Weft or the reader hangs.
    for (const signal of SIGNALS) process.off(signal, stop);
    capture.stop();
  };
  for (const signal of SIGNALS) process.on(signal, stop);
  for (const note of capture.notes) say(note);
  say(`${isText ? 'printing' : 'writing pcapng'}; end it with Ctrl-C`);
  let summary: CaptureSummary | undefined;
  for (;;) {
    const next = await capture.next();
    if (!Buffer.isBuffer(next)) {
      summary = next;
      break;
    }
    await output.write(next);
  }
  capture.abort();
  await output.close();
  const { failure } = output;
  if (failure !== undefined && failure.code !== 'EPIPE')
    throw new UserError(`-w ${show(file ?? '-')}: ${failure.message}; the capture is incomplete`);
  if (summary === undefined)
    throw new UserError('the running Weft ended before the capture; what it sent so far is complete');
  const { packets, missed, reason } = summary;
  say(
    `${packets} packets captured, ${missed} packets missed${missed > 0 ? ' (the reader is too slow; use --peer, --snaplen or -w)' : ''}`,
  );
  if (reason !== null) throw new UserError(`the capture ended early: ${reason}`);
}
