/** Fakes of `ip` and `nft`, first in PATH, that keep their arguments and every byte of their input. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

// A batch of `show` commands gets an empty answer for each; `%q` quotes an argument with odd characters.
const SCRIPT = `#!/bin/bash
dir=\${0%/*}
name=\${0##*/}
{ printf '%s' "$name"; printf ' %q' "$@"; echo; } >> "$dir/arguments"
case "$name $*" in
  'ip -json '*' -batch -') cat > "$dir/batch"; cat "$dir/batch" >> "$dir/ip.input"; sed 's/.*/[]/' "$dir/batch" ;;
  'ip -json '*) echo '[]' ;;
  *) cat >> "$dir/$name.input" ;;
esac
`;

/** What the commands got since the last call. */
export interface Captured {
  /** One line per process: `ip -force -batch -`. */
  arguments: string;
  ip: string;
  nft: string;
}

/** Installs the fakes until the test ends. Returns a function that takes what they got. */
export function captureCommands(t: Test): () => Captured {
  const dir = mkdtempSync(join(tmpdir(), 'weft-captured-'));
  const files = { arguments: 'arguments', ip: 'ip.input', nft: 'nft.input' };
  const clear = (): void => {
    for (const file of Object.values(files)) writeFileSync(join(dir, file), '');
  };
  clear();
  for (const name of ['ip', 'nft']) writeFileSync(join(dir, name), SCRIPT, { mode: 0o755 });
  const path = process.env.PATH;
  process.env.PATH = `${dir}:${path}`;
  t.teardown(() => {
    process.env.PATH = path;
    rmSync(dir, { recursive: true });
  });
  return () => {
    const [args, ip, nft] = Object.values(files).map((file) => readFileSync(join(dir, file), 'latin1'));
    clear();
    return { arguments: args ?? '', ip: ip ?? '', nft: nft ?? '' };
  };
}
