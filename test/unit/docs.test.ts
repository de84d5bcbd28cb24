import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { DROP_COUNTERS } from '../support/counters.js';

/** dist/test/unit/docs.test.js → repository */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const FOLDERS = ['bench', 'deploy', 'docs', 'lab', 'scripts', 'src', 'test'];
const WIDTH = 120;
const MAX_WORDS = 25;

interface Page {
  readonly path: string;
  readonly text: string;
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

function filesUnder(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true }).map((name) => `${folder}/${name}`);
}

const PAGES: readonly Page[] = [
  ...['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md'],
  ...filesUnder('docs').filter((path) => path.endsWith('.md')),
].map((path) => ({ path, text: read(path) }));

/** Files and folders of the repository. */
const ENTRIES: readonly string[] = [...FOLDERS, ...FOLDERS.flatMap(filesUnder)];
/** Names of the folders in which a path on a page can begin. */
const FIRST_FOLDERS = new Set(
  ENTRIES.filter((path) => statSync(join(ROOT, path)).isDirectory()).flatMap((path) => path.split('/')),
);

/** Returns the lines outside code blocks: neither fenced nor indented by four columns. */
function proseLines(text: string): string[] {
  let fenced = false;
  return text.split('\n').filter((line) => {
    if (line.trimStart().startsWith('```')) {
      fenced = !fenced;
      return false;
    }
    return !fenced && !line.startsWith('    ');
  });
}

/** Returns the anchors of a page's headings, as GitHub derives them. */
function anchorsOf(text: string): string[] {
  return proseLines(text)
    .filter((line) => /^#+ /.test(line))
    .map((line) =>
      line
        .replace(/^#+ /, '')
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replace(/\s/g, '-'),
    );
}

/** Returns whether a path, from the root or from any folder below it, names a file or folder of the repository. */
function isInRepository(path: string): boolean {
  const name = path.replace(/\/$/, '');
  return existsSync(join(ROOT, name)) || ENTRIES.some((entry) => entry.endsWith(`/${name}`));
}

/** Returns the sources that a path on a page can mean. */
function sourcesNamed(path: string): string[] {
  return ENTRIES.filter((entry) => entry === path || entry.endsWith(`/${path}`));
}

/** Returns every match of the pattern, as its groups. */
function matches(text: string, pattern: RegExp): string[][] {
  return [...text.matchAll(pattern)].map((match) => match.slice(1).map((group) => group ?? ''));
}

function linkResolves(page: string, target: string): boolean {
  if (/^[a-z]+:/.test(target)) return true;
  const [file = '', anchor] = target.split('#');
  const linked = file === '' ? page : normalize(join(dirname(page), file));
  return existsSync(join(ROOT, linked)) && (anchor === undefined || anchorsOf(read(linked)).includes(anchor));
}

for (const { path, text } of PAGES) {
  const prose = proseLines(text);
  const joined = prose.join('\n');

  t.test(`${path}: relative links and anchors resolve`, async (t) => {
    const links = matches(joined, /\]\(([^)\s]+)\)/g).flat();
    t.same(
      links.filter((target) => !linkResolves(path, target)),
      [],
    );
  });

  t.test(`${path}: pictures exist, and a dark one for each light one`, async (t) => {
    const pictures = matches(text, /(?:src|srcset)="([^"]+)"/g).flat();
    t.same(
      pictures.filter((picture) => !linkResolves(path, picture)),
      [],
    );
    const light = pictures.filter((picture) => picture.includes('-light.'));
    t.same(
      light.filter((picture) => !pictures.includes(picture.replace('-light.', '-dark.'))),
      [],
    );
  });

  t.test(`${path}: repository paths in backticks exist`, async (t) => {
    const paths = matches(joined, /`([\w.-]+(?:\/[\w.-]+)*\/?)`/g)
      .flat()
      .filter((name) => /\.(ts|mjs)$/.test(name) || FIRST_FOLDERS.has(/^(.+?)\//.exec(name)?.[1] ?? ''));
    t.same(
      paths.filter((name) => !isInRepository(name)),
      [],
    );
  });

  t.test(`${path}: a step "file → function" names a function of that file`, async (t) => {
    const steps = matches(text, /`([\w./-]+\.ts)` → `([\w.]+)`/g);
    const broken = steps.filter(([file = '', name = '']) => {
      const word = new RegExp(`\\b${name.split('.').at(-1)}\\b`);
      return !sourcesNamed(file).some((source) => word.test(read(source)));
    });
    t.same(broken, []);
  });

  t.test(`${path}: prose is at most ${WIDTH} columns wide`, async (t) => {
    t.same(
      prose.filter((line) => !line.trimStart().startsWith('|') && [...line].length > WIDTH),
      [],
    );
  });

  t.test(`${path}: a sample log line names the source file that logs it`, async (t) => {
    const samples = matches(text, /([\w-]+)\.js:(\d+)\] (\S+)/g);
    const broken = samples.filter(
      ([name, line, message = '']) =>
        !sourcesNamed(`${name}.ts`)
          .map(read)
          .some((source) => source.includes(message) && source.split('\n').length >= Number(line)),
    );
    t.same(broken, []);
    const callers = matches(text, /"caller":"([\w-]+)\.js:\d+"/g).flat();
    t.same(
      callers.filter((name) => sourcesNamed(`${name}.ts`).length === 0),
      [],
    );
  });

  t.test(`${path}: npm scripts and artefacts that it names exist`, async (t) => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = matches(text, /npm run ([\w:-]*\w)/g).flat();
    t.same(
      named.filter((name) => scripts[name] === undefined),
      [],
    );
    const claims = [
      ['Dockerfile', /Dockerfile|Weft's (container )?image/],
      ['deploy/systemd/weft.service', /weft\.service/],
      ['a published package', /npx weft|npm install (-g )?weft|apt-get install weft/],
    ] as const;
    t.same(
      claims.filter(([file, claim]) => claim.test(text) && !existsSync(join(ROOT, file))),
      [],
    );
  });
}

/** Returns the documentation comments and the runs of line comments of a source, without their marks. */
function commentsOf(source: string): string[] {
  const blocks = matches(source, /^[ \t]*\/\*\*([\s\S]*?)\*\//gm).flat();
  const runs = matches(source, /((?:^[ \t]*\/\/.*\n)+)/gm).flat();
  return [
    ...blocks.map((block) => block.replace(/^[ \t]*\* ?/gm, '')),
    ...runs.map((run) => run.replace(/^[ \t]*\/\/ ?/gm, '')),
  ];
}

/** Returns the sentences of a text. Code blocks, tables and headings are left out; a list of code words is one word. */
function sentencesOf(text: string): string[] {
  return text
    .replace(/^ *```[^]*?^ *```/gm, '')
    .replace(/^( {4}| *\||#).*$/gm, '')
    .replace(/`[^`]*`(?:,? (?:and |or )?`[^`]*`)*/g, 'code')
    .split(/\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )|\s(?=@\w)/)
    .flatMap((block) =>
      block.replace(/\s+/g, ' ').split(/(?<=[.!?:]["')]*) (?=[\p{Lu}\d"'([-])|(?<=[.;]) /u),
    );
}

/** Returns the sentences with more than MAX_WORDS words. */
function longSentences(text: string): string[] {
  return sentencesOf(text).filter(
    (sentence) => (sentence.match(/[\p{L}\p{N}][\p{L}\p{N}'./_-]*/gu) ?? []).length > MAX_WORDS,
  );
}

const SOURCES: readonly string[] = ENTRIES.filter((path) =>
  /^(bench|lab|scripts|src|test)\/.*\.(ts|mjs)$/.test(path),
);

t.test(`no sentence in docs and comments has more than ${MAX_WORDS} words`, async (t) => {
  const texts = [
    ...PAGES,
    ...SOURCES.flatMap((path) => commentsOf(read(path)).map((text) => ({ path, text }))),
  ];
  t.ok(texts.length > 1000, 'the check reads comments');
  t.ok(longSentences(`Word ${'word '.repeat(MAX_WORDS)}`).length === 1, 'the check can fail');
  t.same(
    texts.flatMap(({ path, text }) => longSentences(text).map((sentence) => `${path}: ${sentence}`)),
    [],
  );
});

/** Words that docs/glossary.md replaces. Counters, JSON keys and a flag keep two of them. */
const PRIVATE_WORDS = [
  /(?<!gso-)\b(ladder|roster|twin|heir|stranger|misfit|watchman|train)s?\b/i,
  /\b(usurped|anew|nobody|whoever|whichever)\b/i,
  /\b(look on|looks on|for want of|for ever|there is none|a weft)\b/,
  /(?<![`.])\b(rung|trouble)\b(?![`:])/i,
];

t.test('the private vocabulary does not return', async (t) => {
  const paths = [
    'README.md',
    ...PAGES.map(({ path }) => path).filter(
      (path) => path.startsWith('docs/') && path !== 'docs/glossary.md',
    ),
    ...SOURCES.filter((path) => path.startsWith('src/')),
  ];
  const isPrivate = (line: string): boolean => PRIVATE_WORDS.some((word) => word.test(line));
  t.ok(
    isPrivate('a train of datagrams') && !isPrivate('tx_trains: the level is `rung`'),
    'the check can fail',
  );
  t.same(
    paths.flatMap((path) =>
      read(path)
        .split('\n')
        .filter(isPrivate)
        .map((line) => `${path}: ${line.trim()}`),
    ),
    [],
  );
});

t.test('the checks above find what they check', async (t) => {
  t.ok(PAGES.length > 20);
  const joined = PAGES.map(({ text }) => text).join('\n');
  t.ok(matches(joined, /`([\w./-]+\.ts)` → `([\w.]+)`/g).length > 10, 'steps');
  t.ok(matches(joined, /\.js:(\d+)\] (\S+)/g).length > 0, 'sample log lines');
  t.notOk(linkResolves('README.md', 'docs/none.md'));
  t.notOk(linkResolves('README.md', 'docs/cli.md#none'));
});

t.test('the sources name only pages that exist', async (t) => {
  const sources = ENTRIES.filter((path) => /\.(ts|mjs)$/.test(path) && !path.endsWith('docs.test.ts'));
  const pages = new Set(sources.flatMap((path) => matches(read(path), /\b(docs\/[\w/.-]+\.md)\b/g).flat()));
  t.ok(pages.size > 0);
  t.same(
    [...pages].filter((page) => !existsSync(join(ROOT, page))),
    [],
  );
});

t.test('docs/etcd.md says that Weft uses the subnets of both families', async (t) => {
  const text = read('docs/etcd.md').replace(/\s+/g, ' ');
  t.notMatch(text, /IPv4 half/);
  t.match(text, /`10\.5\.1\.0-24&fd00:5::-64`[^.]* both families/);
});

t.test('CONTRIBUTING.md states which tests may assert a time', async (t) => {
  const text = read('CONTRIBUTING.md').replace(/\s+/g, ' ');
  t.notMatch(text, /no timing asserted/);
  t.match(text, /Unit tests assert no time/);
  t.match(text, /only where the README promises one/);
});

t.test('docs/operations.md explains every drop counter', async (t) => {
  const text = read('docs/operations.md');
  for (const name of DROP_COUNTERS)
    t.match(text, new RegExp(`^\\| .*\`${name}\`.* \\| .+ \\| .+ \\|$`, 'm'), name);
});
