import t from 'tap';
import { Once, OnceEach, OncePerKey } from '../../../../src/control/support/once.js';
import { catchLog } from '../../../support/catch-log.js';

t.test('Once writes a message when it differs from the last one', async (t) => {
  const written: string[] = [];
  const write = (message: string): number => written.push(message);
  const once = new Once();
  for (const message of ['a', 'a', 'b', 'a']) once.log(message, write);
  t.same(written, ['a', 'b', 'a']);
});

t.test('Once writes the same message again after clear', async (t) => {
  const written: string[] = [];
  const write = (message: string): number => written.push(message);
  const once = new Once();
  once.log('a', write);
  once.clear();
  once.log('a', write);
  t.same(written, ['a', 'a']);
});

t.test('OnceEach writes the messages that the previous call did not have', async (t) => {
  const written: string[] = [];
  const write = (message: string): number => written.push(message);
  const once = new OnceEach();
  once.log(['a', 'b', 'a'], write);
  once.log(new Set(['b', 'c']), write);
  once.log(['a'], write);
  once.log([], write);
  once.log(['a'], write);
  t.same(written, ['a', 'b', 'c', 'a', 'a']);
});

t.test('Once and OnceEach write warnings by default', async (t) => {
  const log = catchLog(t);
  new Once().log('one');
  new OnceEach().log(['each']);
  t.same(log, ['W one', 'W each']);
});

t.test('OncePerKey writes a message when it differs from the last one of its key', async (t) => {
  const written: string[] = [];
  const write = (message: string): number => written.push(message);
  const once = new OncePerKey();
  for (const [key, message] of [
    ['x', 'a'],
    ['y', 'a'],
    ['x', 'a'],
    ['x', 'b'],
  ] as const) {
    once.log(key, message, write);
  }
  t.same(written, ['a', 'a', 'b']);
  once.clear('x');
  once.retain((key) => key !== 'y');
  once.log('x', 'b', write);
  once.log('y', 'a', write);
  t.same(written, ['a', 'a', 'b', 'b', 'a']);
});
