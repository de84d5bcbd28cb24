/** The dashboard in deploy, as far as the tests read it. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** dist/test/support/dashboard.js → deploy */
const FILE = fileURLToPath(new URL('../../../deploy/grafana-dashboard.json', import.meta.url));

export interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { h: number; w: number; x: number; y: number };
  datasource?: { type: string; uid: string };
  /** The panels of a collapsed row. */
  panels?: Panel[];
  targets?: { refId: string; expr: string; datasource: { type: string; uid: string } }[];
}

export interface Dashboard {
  title: string;
  uid: string;
  id: null;
  schemaVersion: number;
  panels: Panel[];
  templating: { list: { name: string; type: string; query: unknown }[] };
}

export function readDashboard(): Dashboard {
  return JSON.parse(readFileSync(FILE, 'utf8')) as Dashboard;
}

/** Returns the queries of all panels. */
export function queriesOf({ panels }: Dashboard): string[] {
  return panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
}
