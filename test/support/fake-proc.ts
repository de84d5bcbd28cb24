/** A copy of /proc for tests. */

import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';

export interface FakeProcess {
  command: string[];
  device?: string;
  netns?: string;
  environment?: string[];
}

/** Returns a /proc with these processes; the reader's own network namespace is net:[1]. */
export function fakeProc(t: Test, processes: Record<number, FakeProcess>): string {
  const all = { self: { command: ['cat'] } as FakeProcess, ...processes };
  const content = ({ command, device, environment = [] }: FakeProcess) => ({
    ns: {},
    fd: {},
    fdinfo: { 7: device === undefined ? 'pos:\t0\n' : `pos:\t0\nflags:\t0104002\niff:\t${device}\n` },
    cmdline: command.map((word) => `${word}\0`).join(''),
    environ: environment.map((word) => `${word}\0`).join(''),
  });
  const root = t.testdir(Object.fromEntries(Object.entries(all).map(([pid, one]) => [pid, content(one)])));
  for (const [pid, { device, netns = 'net:[1]' }] of Object.entries(all)) {
    symlinkSync(netns, join(root, pid, 'ns', 'net'));
    symlinkSync('/srv', join(root, pid, 'cwd'));
    symlinkSync(device === undefined ? '/dev/null' : '/dev/net/tun', join(root, pid, 'fd', '7'));
  }
  return root;
}

/** The command line of a running Weft. */
export const WEFT = ['/usr/bin/node', '/opt/weft/dist/src/cli/weft.js', 'run', '--ip-masq'];
