import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import Report, { type Totals } from '../support/report.js';

/** Returns the report of a TAP text that arrives in pieces of `size`. */
async function report(tap: string, size = tap.length): Promise<{ text: string; totals: Totals }> {
  const stream = new Report();
  for (let at = 0; at < tap.length; at += size) stream.write(tap.slice(at, at + size));
  stream.end();
  let text = '';
  for await (const chunk of stream) text += chunk;
  return { text, totals: stream.totals };
}

const TWO_FILES = `TAP version 14
1..2
# Subtest: dist/test/unit/a.test.js
    # Subtest: the first rule
        ok 1 - should be equal
        ok 2 - should be equivalent
        1..2
    ok 1 - the first rule # time=10.24ms
    
    # Subtest: the second rule
        not ok 1 - should be equal
          ---
          compare: ===
          at:
            fileName: a.test.js
            lineNumber: 3
          stack: |
            Test.<anonymous> (a.test.js:3:34)
          source: |
            ok 7 - this is source text
          diff: |
            -2
            +1
          ...
        
        ok 2 - should be true
        1..2
    not ok 2 - the second rule # time=30.697ms
      ---
      at:
        fileName: a.test.js
      ...
    
    ok 3 - on its own
    1..3
    # time=62.752ms
not ok 1 - dist/test/unit/a.test.js # time=1062.752ms
  ---
  exitCode: 1
  ...

# Subtest: dist/test/unit/b.test.js
    # Subtest: a rule
        # Subtest: of a rule
            ok 1 - deep
            1..1
        ok 1 - of a rule # time=2ms
        1..1
    ok 1 - a rule # time=6.537ms
    
    ok 2 - left out # SKIP not here
    ok 3 - later # TODO
    1..3
ok 2 - dist/test/unit/b.test.js # time=20.654ms

# { total: 9, pass: 6, fail: 1 }
`;

const TEXT = `not ok: dist/test/unit/a.test.js > the second rule > should be equal
    compare: ===
    at:
      fileName: a.test.js
      lineNumber: 3
    diff: |
      -2
      +1
dist/test/unit/a.test.js: 1 FAILED, 1.1 s
skipped: dist/test/unit/b.test.js > left out: not here
skipped: dist/test/unit/b.test.js > later
dist/test/unit/b.test.js: 1 passed, 0.0 s
`;

t.test(
  'the report counts assertions once, and prints failures with path and difference and skips with their reason',
  async (t) => {
    const { text, totals } = await report(TWO_FILES);
    t.equal(text, TEXT);
    t.same(totals, { passed: 5, failed: 1, skipped: 2 });
  },
);

t.test('the report does not depend on the pieces in which the text arrives', async (t) => {
  for (const size of [1, 7, 64]) {
    const { text, totals } = await report(TWO_FILES, size);
    t.equal(text, TEXT);
    t.same(totals, { passed: 5, failed: 1, skipped: 2 });
  }
});

t.test('a file that crashes after its assertions counts as one failure', async (t) => {
  const { text, totals } = await report(`TAP version 14
# Subtest: crash.test.js
    # Subtest: b
        ok 1 - should be equal
        1..1
    ok 1 - b # time=6.108ms
    
    # test count(1) != plan(null)
not ok 1 - crash.test.js # time=941.571ms
  ---
  exitCode: null
  signal: SIGKILL
  ...
`);
  t.same(totals, { passed: 1, failed: 1, skipped: 0 });
  t.equal(
    text,
    `not ok: crash.test.js
    exitCode: null
    signal: SIGKILL
crash.test.js: 1 FAILED, 0.9 s
`,
  );
});

t.test('a file that fails before its first test counts as one failure', async (t) => {
  const { totals } = await report(`# Subtest: broken.test.js
    1..0 # no tests found
not ok 1 - broken.test.js # time=310.944ms
  ---
  exitCode: 1
  ...
`);
  t.same(totals, { passed: 0, failed: 1, skipped: 0 });
});

t.test('a test without assertions counts by its end, and a skipped one does not pass', async (t) => {
  const { text, totals } = await report(`# Subtest: property.test.js
    # Subtest: holds
        1..0
    ok 1 - holds # time=3ms
    
    # Subtest: left out
        1..0
    ok 2 - left out # SKIP
    
    1..2
ok 1 - property.test.js # time=6ms

# Subtest: empty.test.js
    1..0 # no tests found
ok 2 - empty.test.js # SKIP no tests found
`);
  t.same(totals, { passed: 1, failed: 0, skipped: 2 });
  t.match(text, 'property.test.js: 1 passed');
});

t.test('a test that times out counts as one failure, not one for each level of nesting', async (t) => {
  const { totals } = await report(`# Subtest: hang.test.js
    # Subtest: b
        ok 1 - should be equal
        not ok 2 - timeout!
          ---
          expired: TAP
          ...
        
        1..2
    not ok 1 - b # time=3019.663ms
    
    1..1
    # time=3035.672ms
not ok 1 - hang.test.js # time=3035.672ms
`);
  t.same(totals, { passed: 1, failed: 1, skipped: 0 });
});

t.test('the report writes the totals to the file of WEFT_TEST_TOTALS', async (t: Test) => {
  const path = join(t.testdir({}), 'totals');
  const before = process.env.WEFT_TEST_TOTALS;
  process.env.WEFT_TEST_TOTALS = path;
  t.teardown(() => {
    if (before === undefined) delete process.env.WEFT_TEST_TOTALS;
    else process.env.WEFT_TEST_TOTALS = before;
  });
  await report(TWO_FILES);
  t.same(JSON.parse(readFileSync(path, 'utf8')), { passed: 5, failed: 1, skipped: 2 });
});

t.test('the report prints the comments of a test with its name, and not those of tap', async (t) => {
  const { text } = await report(`TAP version 14
# Subtest: dist/test/netns/a.test.js
    # Subtest: a repair
        # put right after 200 ms
        ok 1 - as it was
        1..1
        # time=1.2ms
    ok 1 - a repair # time=1.2ms
    1..1
    # { total: 1, pass: 1 }
    # time=3ms
ok 1 - dist/test/netns/a.test.js # time=3ms
1..1
# No coverage generated
# { total: 1, pass: 1 }
# time=10ms
`);
  t.equal(text, '# a repair: put right after 200 ms\ndist/test/netns/a.test.js: 1 passed, 0.0 s\n');
});
