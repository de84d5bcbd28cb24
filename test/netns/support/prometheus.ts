/** A Prometheus server on a node of the lab. */

import { writeFile } from 'node:fs/promises';
import type { Test } from 'tap';
import type { LabNode } from '../../../lab/node.js';
import { DIST } from '../../../lab/world.js';

/** The files of the repository, beside dist. */
export const DEPLOY = `${DIST}../deploy/`;
const ADDRESS = '127.0.0.1:9090';
const READY = /Server is ready to receive web requests/;
/** Queries that have no answer yet are repeated for so long. */
const PATIENCE_MS = 20_000;

/** The answer to a query: its number of series that have a number, and why it has none. */
export interface Answer {
  query: string;
  series: number;
  error?: string;
}

export interface Prometheus {
  /** Returns the answers to all queries, as soon as each has a series. */
  ask(queries: readonly string[]): Promise<Answer[]>;
  /** Returns the health of each alert, by name. */
  alerts(): Promise<Record<string, string>>;
}

/** Starts a server that scrapes the targets and evaluates the alerts every second; the end of the test stops it. */
export async function startPrometheus(
  t: Test,
  node: LabNode,
  targets: readonly string[],
): Promise<Prometheus> {
  const config = `${node.dir}/prometheus.yml`;
  // JSON is YAML.
  await writeFile(
    config,
    JSON.stringify({
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [`${DEPLOY}prometheus-rules.yaml`],
      scrape_configs: [{ job_name: 'weft', static_configs: [{ targets }] }],
    }),
  );
  const server = node.start([
    'prometheus',
    `--config.file=${config}`,
    `--storage.tsdb.path=${node.dir}/prometheus`,
    `--web.listen-address=${ADDRESS}`,
  ]);
  t.teardown(() => server.stop());
  await server.waitFor(READY);
  const evaluate = async (code: string, ...args: string[]): Promise<unknown> => {
    const argv = [process.execPath, '--input-type=module', '--eval', code, ...args];
    return JSON.parse((await node.exec(argv)).stdout) as unknown;
  };
  return {
    ask: async (queries) => (await evaluate(ASK, JSON.stringify(queries))) as Answer[],
    alerts: async () => (await evaluate(ALERTS)) as Record<string, string>,
  };
}

const ASK = `
  const deadline = Date.now() + ${PATIENCE_MS};
  const ask = async (query) => {
    const answer = await (await fetch('http://${ADDRESS}/api/v1/query?query=' + encodeURIComponent(query))).json();
    const numbers = (answer.data?.result ?? []).filter(({ value }) => value[1] !== 'NaN');
    return { query, series: numbers.length, error: answer.error };
  };
  let answers;
  do {
    answers = [];
    for (const query of JSON.parse(process.argv[1])) answers.push(await ask(query));
  } while (answers.some(({ series }) => series === 0) && Date.now() < deadline);
  console.log(JSON.stringify(answers));`;

const ALERTS = `
  const { data } = await (await fetch('http://${ADDRESS}/api/v1/rules')).json();
  const rules = data.groups.flatMap((group) => group.rules);
  console.log(JSON.stringify(Object.fromEntries(rules.map(({ name, health }) => [name, health]))));`;
