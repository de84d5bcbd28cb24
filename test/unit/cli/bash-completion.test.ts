import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';
import { COMMANDS, OPTIONS } from '../../../src/cli/commands.js';
import { RUN_FLAGS } from '../../../src/cli/flags.js';
import { formatBashCompletion } from '../../../src/cli/reference/bash-completion.js';

const SCRIPT = formatBashCompletion(OPTIONS, COMMANDS);

/** Returns what bash offers for the last of these words. */
async function completions(...words: string[]): Promise<string[]> {
  const lines = [
    'compopt() { :; }',
    SCRIPT,
    'COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))',
    '_weft',
    'printf "%s\\n" "${COMPREPLY[@]}"',
  ];
  const argv = ['--norc', '-c', lines.join('\n'), 'bash', 'weft', ...words];
  const { stdout } = await promisify(execFile)('bash', argv, { cwd: '/' });
  return stdout.split('\n').filter((word) => word !== '');
}

t.test('bash completes the commands', async (t) => {
  t.same((await completions('')).sort(), ['--help', '--version', ...COMMANDS.keys()].sort());
  t.same(await completions('re'), ['reload']);
});

t.test('bash completes the flags of a command', async (t) => {
  const flags = Object.keys(RUN_FLAGS).map((name) => `--${name}`);
  t.same((await completions('run', '--')).sort(), [...flags, '--help'].sort());
  t.same(await completions('cleanup', '--su'), ['--subnet-file']);
});

t.test('bash completes the values of a choice, and the names of files for a path', async (t) => {
  t.same(await completions('run', '--offload', ''), ['auto', 'none', 'gso', 'bpf']);
  t.same(await completions('run', '--offload', '=', 'g'), ['gso']);
  t.same(await completions('doctor', '--help', ''), ['all']);
  t.ok((await completions('run', '--lease-file', '/et')).includes('/etc'));
  for (const flag of ['-w', '--write'])
    t.ok((await completions('capture', flag, '/et')).includes('/etc'), flag);
  t.ok((await completions('status', '--run-dir', '=')).includes('etc'));
});
