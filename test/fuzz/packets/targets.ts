/** The dataplane as fuzz targets: each tunnel, each underlay family, each offload level. */

import { readdirSync, readFileSync } from 'node:fs';
import { hex } from '../../support/bytes.js';
import type { Target } from '../target.js';
import { parseCase } from './case.js';
import type { Corpus } from './generate.js';
import { PACKET_TARGETS, type PacketOptions } from './options.js';
import { replay, runSeed } from './run.js';

/** The folder of the sources: the compiled module lies in dist. */
export const CORPUS = new URL('../../../../test/fuzz/corpus/', import.meta.url);

/** Returns the packets of a corpus file: lines of a name, a colon and hexadecimal bytes. */
function packetsIn(file: string): Uint8Array[] {
  return readFileSync(new URL(file, CORPUS), 'utf8')
    .split('\n')
    .filter((line) => /^[^#]+:/.test(line))
    .map((line) => hex(line.split(':')[1]));
}

/** Returns the recorded cases of the corpus, by file name. */
export function recordedCases(): { file: string; text: string }[] {
  const folder = new URL('cases/', CORPUS);
  return readdirSync(folder)
    .sort()
    .map((file) => ({ file, text: readFileSync(new URL(file, folder), 'utf8') }));
}

/** Replays the cases of a file, a case after each line `options`; returns why one fails. */
export function replayText(text: string): string | undefined {
  const [, ...parts] = text.split(/^options /m);
  if (parts.length === 0) throw new Error('no line `options {…}`');
  for (const part of parts) {
    const options = JSON.parse(part.split('\n')[0]) as PacketOptions;
    const failure = replay(options, part.split(/^next$/m).map(parseCase));
    if (failure !== undefined) return failure;
  }
  return undefined;
}

export function packetTargets(): Target[] {
  const corpus: Corpus = { frames: packetsIn('frames.hex'), datagrams: packetsIn('datagrams.hex') };
  return PACKET_TARGETS.map((name) => ({
    name,
    run: (seed, limit) => runSeed(name, seed, corpus, limit),
    replay: replayText,
  }));
}
