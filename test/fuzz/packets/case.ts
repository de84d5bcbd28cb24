/** A case: frames that wait at the device and messages that wait at the socket. One input is one of either. */

import { hex } from '../../support/bytes.js';
import type { Message } from './kernel.js';
import { hexOf } from './wire.js';

export interface Case {
  /** At level `gso` with a virtio-net header. */
  frames: Uint8Array[];
  messages: Message[];
}

/** Writes a case as text: a line per input. */
export function formatCase({ frames, messages }: Case): string {
  const lines = [
    ...frames.map((frame) => `frame ${hexOf(frame)}`),
    ...messages.map(({ source, tos, gro, data }) => `message ${hexOf(source)} ${tos} ${gro} ${hexOf(data)}`),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

/** Reads the lines of `formatCase`; others are ignored. */
export function parseCase(text: string): Case {
  const result: Case = { frames: [], messages: [] };
  for (const line of text.split('\n')) {
    const [kind, ...rest] = line.trim().split(' ');
    if (kind === 'frame') result.frames.push(hex(rest[0] ?? ''));
    if (kind !== 'message') continue;
    const [source = '', tos, gro, data = ''] = rest;
    result.messages.push({ source: hex(source), tos: Number(tos), gro: Number(gro), data: hex(data) });
  }
  return result;
}
