/**
 * The Weft processes of this network namespace. The device that they hold open tells, even if their files are gone: it
 * exists exactly as long as the process.
 */

import { basename, resolve } from 'node:path';
import { shellWord } from '../support/printable.js';
import { entries, linkTarget, read } from '../support/proc-files.js';

/** A running `weft run`. */
export interface WeftProcess {
  pid: number;
  device: string;
  runDir: string;
}

/** Names of the devices that Weft or flanneld can have, of any VNI and family. */
export const OVERLAY_DEVICE = /^flannel(?:\d+|(?:-v6)?\.\d+)$/;

/** The default of --run-dir. */
const DEFAULT_RUN_DIR = '/run/weft';

/** The driver shows the device of each descriptor in fdinfo (drivers/net/tun.c, tun_chr_show_fdinfo, Linux 3.18). */
const FDINFO = /^iff:\t(\S+)$/m;

/**
 * Finds the other Weft processes that hold an overlay device in this network namespace. It finds none that are in another
 * PID namespace, or that this process may not inspect. `proc` is /proc, or a copy for tests.
 */
export function weftProcesses(proc = '/proc'): WeftProcess[] {
  const netns = linkTarget(`${proc}/self/ns/net`);
  return entries(proc).flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    // The command line comes first: a node has hundreds of processes with thousands of descriptors.
    const args = argumentsOf(`${proc}/${name}`);
    if (args === undefined || linkTarget(`${proc}/${name}/ns/net`) !== netns) return [];
    const device = deviceOf(`${proc}/${name}`);
    return device === undefined ? [] : [weftOf(Number(name), device, args, proc)];
  });
}

/** Finds another Weft process that holds this overlay device, or any, in this network namespace. */
export function findWeftProcess(device?: string, proc = '/proc'): WeftProcess | undefined {
  return weftProcesses(proc).find((weft) => weft.device === (device ?? weft.device));
}

/** Returns why a second Weft does not start. */
export function alreadyRuns({ pid, runDir }: { pid?: number | undefined; runDir: string }): string {
  const which = pid === undefined ? '' : `pid ${pid}, `;
  return `Weft already runs here (${which}run directory ${runDir}); start with --takeover to replace it, or stop it first: weft cleanup --run-dir ${shellWord(runDir)}`;
}

/** Returns the arguments of a process behind `weft run`; undefined for any other command. */
function argumentsOf(process: string): string[] | undefined {
  const command = read(`${process}/cmdline`).split('\0').slice(0, -1);
  const program = command.findIndex((word) => /^weft(?:\.js)?$/.test(basename(word)));
  return program >= 0 && command[program + 1] === 'run' ? command.slice(program + 2) : undefined;
}

function weftOf(pid: number, device: string, args: readonly string[], proc: string): WeftProcess {
  const runDir = runDirOf(args) ?? environmentOf(pid, proc) ?? DEFAULT_RUN_DIR;
  return { pid, device, runDir: resolve(linkTarget(`${proc}/${pid}/cwd`) ?? '/', runDir) };
}

/** Returns the last --run-dir of a command line, in any of Go's spellings. */
function runDirOf(args: readonly string[]): string | undefined {
  let found: string | undefined;
  args.forEach((word, index) => {
    const [, value] = /^--?run-dir(?:=(.*))?$/s.exec(word) ?? [];
    if (value !== undefined) found = value;
    else if (/^--?run-dir$/.test(word)) found = args[index + 1] ?? found;
  });
  return found;
}

function environmentOf(pid: number, proc: string): string | undefined {
  const variable = 'FLANNELD_RUN_DIR=';
  const entry = read(`${proc}/${pid}/environ`)
    .split('\0')
    .find((text) => text.startsWith(variable) && text !== variable);
  return entry?.slice(variable.length);
}

/** Returns the device that one of the process's descriptors has. */
function deviceOf(process: string): string | undefined {
  for (const fd of entries(`${process}/fd`)) {
    if (!linkTarget(`${process}/fd/${fd}`)?.endsWith('/net/tun')) continue;
    const [, device] = FDINFO.exec(read(`${process}/fdinfo/${fd}`)) ?? [];
    if (device !== undefined && OVERLAY_DEVICE.test(device)) return device;
  }
  return undefined;
}
