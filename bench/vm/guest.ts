/**
 * A virtual machine with another kernel, joined to a node of the lab by a TAP. It runs from an initial file system that
 * scripts/guest.mjs makes, and takes commands on a serial line.
 */

import { connect, type Socket } from 'node:net';
import { exec } from '../../lab/exec.js';
import { ipBatch } from '../../lab/ip.js';
import type { LabNode } from '../../lab/node.js';
import type { LabProcess } from '../../lab/process.js';
import { type MachineImage, machineArgv } from './machine.js';

/** 'virt': a virtio NIC with its default offloads. 'plain': one without any, like that of a Raspberry Pi. */
export type LinkMode = 'virt' | 'plain';

/** A kernel and its initial file system, as scripts/guest.mjs and scripts/package-guest.mjs return them. */
export interface GuestImage extends MachineImage {
  readonly suite: string;
  readonly release: string;
}

const OFFLOADS = ['tso4', 'tso6', 'ecn', 'ufo'];
const NO_OFFLOADS = [
  'csum',
  'gso',
  'guest_csum',
  ...OFFLOADS.map((name) => `guest_${name}`),
  ...OFFLOADS.map((name) => `host_${name}`),
];

/** An emulated system with systemd needs minutes on a busy machine. */
const BOOT_TIMEOUT_MS = 400_000;
const COMMAND_TIMEOUT_MS = 120_000;

/** The end of an answer: `= ` and the exit status. */
const ANSWER_END = /^= (\d+)\r?\n/m;

/** The result of a command in the guest. */
export interface Answer {
  readonly status: number;
  /** What it printed on both outputs. */
  readonly output: string;
}

export class Guest {
  readonly image: GuestImage;
  private readonly machine: LabProcess;
  private readonly serial: Socket;
  private received = '';
  private listener = () => {};

  private constructor(image: GuestImage, machine: LabProcess, serial: Socket) {
    this.image = image;
    this.machine = machine;
    this.serial = serial;
    serial.setEncoding('utf8').on('data', (text: string) => {
      this.received += text;
      this.listener();
    });
  }

  /** Boots a guest whose eth0 is joined to a new TAP, the underlay interface of the node. */
  static async boot(image: GuestImage, node: LabNode, link: LinkMode): Promise<Guest> {
    const { iface } = node;
    const socket = `${node.dir}/guest.socket`;
    await ipBatch(node.netns, [
      `tuntap add ${iface} mode tap vnet_hdr`,
      `address add ${node.address}/24 dev ${iface}`,
      `link set ${iface} up`,
    ]);
    const nic = link === 'plain' ? NO_OFFLOADS.map((name) => `,${name}=off`).join('') : '';
    const machine = node.start(machineArgv(image, { iface, socket, nic }), {
      name: `guest with ${image.release}`,
    });
    await machine.waitFor(/^guest: ready/m, BOOT_TIMEOUT_MS);
    return new Guest(image, machine, connect(socket));
  }

  /** Runs lines of shell in the guest; throws unless the last one exits with 0. Returns what they print. */
  async run(lines: string, timeoutMs = COMMAND_TIMEOUT_MS): Promise<string> {
    const { status, output } = await this.ask(`set -e\n${lines}`, timeoutMs);
    if (status === 0) return output;
    throw new Error(`${this.machine.name}: exit ${status}: ${output.trim()}`);
  }

  /** Runs lines of shell in the guest, one call at a time. */
  async ask(lines: string, timeoutMs = COMMAND_TIMEOUT_MS): Promise<Answer> {
    this.received = '';
    this.serial.write(`${Buffer.from(lines).toString('base64')}\n`);
    const end = await new Promise<RegExpExecArray>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${this.machine.name}: no answer within ${timeoutMs} ms to: ${lines}`)),
        timeoutMs,
      );
      this.listener = () => {
        const found = ANSWER_END.exec(this.received);
        if (found === null) return;
        clearTimeout(timer);
        resolve(found);
      };
      void this.machine.exited.then(() => {
        clearTimeout(timer);
        reject(new Error(`${this.machine.name} ended:\n${this.machine.tail()}`));
      });
    });
    return {
      status: Number(end[1]),
      output: Buffer.from(this.received.slice(0, end.index), 'base64').toString('utf8'),
    };
  }

  async stop(): Promise<void> {
    this.serial.destroy();
    await this.machine.stop('SIGKILL');
  }
}

/** Returns the bytes of both directions' datagrams and segments that arrived with a wrong checksum in a namespace. */
export async function checksumErrorsOf(netns: string): Promise<number> {
  return checksumErrors((await exec(['cat', ...SNMP], { netns })).stdout);
}

/** The files with the counters of a namespace. */
export const SNMP = ['/proc/net/snmp', '/proc/net/netstat'];

/** Returns the sum of all counters InCsumErrors in the text of these files: pairs of lines, names and values. */
export function checksumErrors(text: string): number {
  const lines = text.trim().split('\n');
  let sum = 0;
  for (let index = 0; index + 1 < lines.length; index += 2) {
    const values = (lines[index + 1] ?? '').split(' ');
    (lines[index] ?? '').split(' ').forEach((name, column) => {
      if (name === 'InCsumErrors') sum += Number(values[column]);
    });
  }
  return sum;
}
