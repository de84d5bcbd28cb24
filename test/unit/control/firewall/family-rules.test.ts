import t, { type Test } from 'tap';
import { FamilyRules } from '../../../../src/control/firewall/family-rules.js';
import { forwardRules, type RuleSets, type RuleStore } from '../../../../src/control/firewall/rules.js';
import { cidr } from '../../../support/addresses.js';
import { catchLog } from '../../../support/catch-log.js';

const DESIRED: RuleSets = {
  masq: [],
  forward: forwardRules({ network: cidr('10.244.0.0/16') }),
};

/** A rule store in memory whose lines a test may change. */
class FakeStore implements RuleStore {
  lines: string[] = [];
  complete = true;
  writes = 0;

  read(): Promise<string[]> {
    return Promise.resolve([...this.lines]);
  }

  losses: string[] = [];
  improvements = 0;

  /** Whether `improve` succeeds. */
  improves = true;

  improve(): Promise<void> {
    this.improvements++;
    if (!this.improves) return Promise.resolve();
    this.losses = [];
    this.lines.push('now possible');
    return Promise.resolve();
  }

  probe(): Promise<void> {
    return Promise.resolve();
  }

  isComplete(): boolean {
    return this.complete;
  }

  write({ forward }: RuleSets): Promise<void> {
    this.lines = forward.map((rule) => JSON.stringify(rule));
    this.writes++;
    return Promise.resolve();
  }
}

function familyRules(t: Test) {
  const store = new FakeStore();
  const log = catchLog(t);
  const machine = { modules: '', now: 0 };
  const rules = new FamilyRules(
    store,
    'iptables',
    async () => machine.modules,
    () => machine.now,
  );
  return { store, log, rules, machine };
}

t.test('FamilyRules writes once and only compares after that', async (t) => {
  const { store, rules, log } = familyRules(t);
  rules.replace(DESIRED);
  await rules.ensure();
  await rules.ensure();
  t.equal(store.writes, 1);
  t.equal(rules.repairs, 0);
  t.strictSame(log, ['I bootstrap done']);
});

t.test('FamilyRules restores changed rules and counts the repair', async (t) => {
  const { store, rules, log } = familyRules(t);
  rules.replace(DESIRED);
  await rules.ensure();
  store.lines.pop();
  await rules.ensure();
  t.equal(store.lines.length, DESIRED.forward.length);
  t.equal(rules.repairs, 1);
  t.ok(log.includes('I Some iptables rules are missing; deleting and recreating rules'));
});

t.test('FamilyRules does not count the rules of another network as a repair', async (t) => {
  const { store, rules } = familyRules(t);
  rules.replace(DESIRED);
  await rules.ensure();
  rules.replace({
    masq: [],
    forward: forwardRules({ network: cidr('10.1.0.0/16') }),
  });
  await rules.ensure();
  t.equal(store.writes, 2);
  t.equal(rules.repairs, 0);
});

t.test('FamilyRules rejects an incomplete write and writes again', async (t) => {
  const { store, rules } = familyRules(t);
  rules.replace(DESIRED);
  store.complete = false;
  await t.rejects(rules.ensure(), { message: 'another program changed them at the same time' });
  store.complete = true;
  await rules.ensure();
  t.equal(store.writes, 2);
});

t.test('FamilyRules completes reduced rules after a new module, and counts no repair', async (t) => {
  const { store, rules, machine } = familyRules(t);
  rules.replace(DESIRED);
  store.losses = ['no xt_comment'];
  await rules.ensure();
  await rules.ensure();
  t.equal(store.improvements, 0, 'the kernel would refuse them again');
  machine.modules = 'xt_comment';
  await rules.ensure();
  await rules.ensure();
  t.equal(store.improvements, 1);
  t.equal(store.writes, 1);
  t.equal(rules.repairs, 0);
});

t.test('FamilyRules attempts to complete reduced rules once a minute without a new module', async (t) => {
  const { store, rules, machine } = familyRules(t);
  rules.replace(DESIRED);
  store.improves = false;
  store.losses = ['no xt_comment'];
  for (const [now, improvements] of [
    [0, 0],
    [59_999, 0],
    [60_000, 1],
    [119_999, 1],
    [120_000, 2],
  ] as const) {
    machine.now = now;
    await rules.ensure();
    t.equal(store.improvements, improvements, `at ${now}`);
  }
});
