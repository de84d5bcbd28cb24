import t from 'tap';
import { show, UserError } from '../../../../src/control/support/user-error.js';

t.test('UserError joins the lines of its message', async (t) => {
  t.equal(
    new UserError('ip: RTNETLINK answers:\n  File exists\n').message,
    'ip: RTNETLINK answers: File exists',
  );
  t.equal(new UserError('plain').name, 'UserError');
});

t.test('UserError and show escape control and format characters', async (t) => {
  t.equal(new UserError('node \u001b[2J\u202e').message, 'node \\u001b[2J\\u202e');
  t.equal(show('\u009b\u202e\u007f'), '"\\u009b\\u202e\\u007f"');
});

t.test('show formats a value as JSON', async (t) => {
  t.equal(show('text'), '"text"');
  t.equal(show(1), '1');
  t.equal(show(null), 'null');
  t.equal(show({ a: [1] }), '{"a":[1]}');
  t.equal(show(undefined), 'undefined');
});

t.test('show cuts a long value to sixty characters', async (t) => {
  t.equal(show('x'.repeat(58)), `"${'x'.repeat(58)}"`);
  t.equal(show('x'.repeat(59)), `"${'x'.repeat(56)}...`);
});

t.test('show escapes line ends', async (t) => {
  t.equal(show('a\nb'), '"a\\nb"');
});
