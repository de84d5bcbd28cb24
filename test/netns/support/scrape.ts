/** A scrape of /metrics on a node of the lab. */

import type { LabNode } from '../../../lab/node.js';

/** Writes the page to a file of the node. Returns its path. */
export async function scrapePage(node: LabNode, port: string): Promise<string> {
  const path = `${node.dir}/metrics.txt`;
  const code = `const page = await (await fetch('http://127.0.0.1:${port}/metrics')).text();
    (await import('node:fs')).writeFileSync('${path}', page);`;
  await node.exec([process.execPath, '--input-type=module', '--eval', code]);
  return path;
}

/** Returns the value of a series; NaN if the page does not have it. */
export function valueIn(page: string, series: string): number {
  const line = page.split('\n').find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? Number.NaN : Number(line.slice(series.length + 1));
}
