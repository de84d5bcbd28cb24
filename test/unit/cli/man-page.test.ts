import t from 'tap';
import { COMMANDS, OPTIONS, WEFT } from '../../../src/cli/commands.js';
import { RUN_FLAGS } from '../../../src/cli/flags.js';
import { formatManPage } from '../../../src/cli/reference/man-page.js';

const PAGE = { version: '1.2.3', date: '2026-11-29', program: WEFT };
const page = formatManPage({ ...PAGE, options: OPTIONS, commands: COMMANDS });

t.test('the manual page begins with title, section, date and version', async (t) => {
  t.match(page, /^\.TH WEFT 8 "2026\\-11\\-29" "weft 1\.2\.3" /);
  t.match(page, /^\.SH "NAME"\nweft \\- /m);
});

t.test('the manual page has every command and every flag of weft run, with its meaning', async (t) => {
  for (const [name, { synopsis }] of COMMANDS)
    t.ok(page.includes(`.B "${synopsis.replaceAll('-', '\\-')}"`), name);
  for (const name of Object.keys(RUN_FLAGS))
    t.match(page, new RegExp(`^\\.TP\n\\.B "\\\\-\\\\-${name.replaceAll('-', '\\\\-')} .*"\n\\S`, 'm'), name);
});

t.test('the manual page has the examples of every command, and names other pages', async (t) => {
  const [, examples = ''] = /^\.SH "EXAMPLES"$([^]*)^\.SH "SEE ALSO"$/m.exec(page) ?? [];
  for (const [command, purpose] of [...COMMANDS.values()].flatMap(({ examples }) => examples))
    t.ok(examples.includes(`.B "${command.replaceAll('-', '\\-')}"\n${purpose}`), command);
  t.match(page, /^\.SH "SEE ALSO"\n\.BR ip \(8\),/m);
});

t.test('the manual page has what the help says below the flags', async (t) => {
  const notes = [...COMMANDS.values()].flatMap(({ notes = [] }) => notes);
  t.ok(notes.length >= 4, 'the check finds them');
  for (const note of notes) t.ok(page.includes(note.replaceAll('-', '\\-')), note);
});

t.test('commands with equal flags share a section of the manual page', async (t) => {
  t.match(page, '.SH "OPTIONS OF RUN, RELOAD"');
  t.match(page, '.SH "OPTIONS OF STATUS"');
});

t.test('no text is a control line of roff, and no quotation mark ends an argument', async (t) => {
  const rows = [['--odd <A"B>', '.starts with a dot, has `ticks` and a \\ backslash']] as const;
  const text = formatManPage({ ...PAGE, options: { heading: 'Options:', rows }, commands: new Map() });
  t.match(text, '.B "\\-\\-odd <A\\(dqB>"\n\\&.starts with a dot, has \\(gaticks\\(ga and a \\e backslash\n');
});
