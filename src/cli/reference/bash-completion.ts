/** The completion of bash, made from the commands and their flags. */

import type { Command } from '../command.js';
import type { UsageGroup, UsageRow } from '../usage.js';

/** What follows a flag. */
interface Completion {
  /** The flag; `-w|--write` if it has two names. */
  readonly flag: string;
  /** The words to choose from; the names of files if there are none. */
  readonly choices: readonly string[];
}

/** Returns the text of a file for bash-completion. */
export function formatBashCompletion(options: UsageGroup, commands: ReadonlyMap<string, Command>): string {
  const names = [...commands.keys()];
  const words = [...names, ...flagsOf([options])].join(' ');
  const cases = names.map((name) => {
    const flags = flagsOf(commands.get(name)?.groups ?? []).join(' ');
    return `    ${name}) words='${flags}' ;;`;
  });
  const values = unique([...commands.values()].flatMap(({ groups }) => valuesOf(groups))).map(
    ({ flag, choices }) =>
      `    ${flag}) ${choices.length > 0 ? `words='${choices.join(' ')}'` : 'files=yes'} ;;`,
  );
  return `# bash completion of weft(8), made from its flags.

_weft() {
  local word=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]}
  local words='${words}' files=
  # bash takes "=" for a word of its own.
  if [[ $word == = ]]; then word=
  elif [[ $previous == = ]]; then previous=\${COMP_WORDS[COMP_CWORD - 2]}
  fi
  case \${COMP_WORDS[1]} in
${cases.join('\n')}
  esac
  ((COMP_CWORD > 1)) || words='${words}'
  case $previous in
${values.join('\n')}
  esac
  if [[ $files ]]; then
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
  else
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  fi
}

complete -F _weft weft
`;
}

/** Returns the long flags of all rows, such as `--run-dir`. */
function flagsOf(groups: readonly UsageGroup[]): string[] {
  return groups.flatMap(({ rows }) => rows.map(([term]) => longOf(term)));
}

function longOf(term: string): string {
  return /--[\w-]+/.exec(term)?.[0] ?? term;
}

/** Returns the flags whose values can be completed: one of a few words, or a path. */
function valuesOf(groups: readonly UsageGroup[]): Completion[] {
  return groups.flatMap(({ rows }) => rows.flatMap(([term]) => valueOf(term)));
}

function valueOf(term: UsageRow[0]): Completion[] {
  const [, names = '', choices = ''] = /^(.+) [<[]([\w|]+)[>\]]$/.exec(term) ?? [];
  const flag = names.replaceAll(', ', '|');
  if (/^(PATH|DIR)$/.test(choices)) return [{ flag, choices: [] }];
  return /^[a-z|]+$/.test(choices) ? [{ flag, choices: choices.split('|') }] : [];
}

function unique(completions: readonly Completion[]): Completion[] {
  return [...new Map(completions.map((completion) => [completion.flag, completion])).values()];
}
