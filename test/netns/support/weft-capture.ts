/** `weft capture` on a node, and what tshark reads in its output. */

import type { Test } from 'tap';
import { exec } from '../../../lab/exec.js';
import type { LabNode } from '../../../lab/node.js';
import type { LabProcess } from '../../../lab/process.js';
import { startCommand } from './cli.js';

/** Starts `weft capture` and waits until it records; the end of the test stops it. */
export async function startCapture(
  t: Test,
  weft: { readonly node: LabNode; readonly runDir: string },
  ...flags: readonly string[]
): Promise<LabProcess> {
  const capture = startCommand(t, weft.node, ['capture', '--run-dir', weft.runDir, ...flags]);
  await capture.waitFor(/end it with Ctrl-C/);
  return capture;
}

/** Returns these fields of each packet that tshark decodes in a file. */
export async function decoded<const F extends string>(
  file: string,
  fields: readonly F[],
  ...flags: readonly string[]
): Promise<Record<F, string>[]> {
  const names = fields.flatMap((field) => ['-e', field]);
  const decode = [
    '-d',
    'udp.port==8472,vxlan',
    // tshark would guess protocols in random bytes, and report their errors.
    '-d',
    'tcp.port==1-65535,data',
    '-n',
    '-T',
    'fields',
    '-E',
    'occurrence=a',
    '-E',
    'aggregator=,',
  ];
  const { stdout } = await exec(['tshark', '-r', file, ...decode, ...names, ...flags]);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const values = line.split('\t');
      return Object.fromEntries(fields.map((field, index) => [field, values[index] ?? ''])) as Record<
        F,
        string
      >;
    });
}

/**
 * Returns the numbers of the packets that a filter selects, and tshark's remarks on them. By default those with a remark
 * such as a wrong checksum; a comment is one too.
 */
export async function remarks(file: string, filter = '_ws.expert and not frame.comment'): Promise<string[]> {
  const checks = ['ip', 'tcp', 'udp'].flatMap((name) => ['-o', `${name}.check_checksum:TRUE`]);
  const found = await decoded(file, ['frame.number', '_ws.expert.message'], '-Y', filter, ...checks);
  return found.map((packet) => Object.values(packet).join(' '));
}
