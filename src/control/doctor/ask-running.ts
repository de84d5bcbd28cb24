/** What a running Weft says of itself. */

import { setTimeout as delay } from 'node:timers/promises';
import { ask } from '../ipc/client.js';
import type { RunningWeft } from '../ipc/running.js';
import type { Obstacle } from '../obstacles/obstacle.js';
import { shellWord } from '../support/printable.js';
import { read } from '../support/proc-files.js';
import { UserError } from '../support/user-error.js';
import type { Examined, NodeFacts, NotStarted } from './facts.js';
import { type Finding, findingOfObstacle, instruction, ok, problem, splitRemedy } from './finding.js';

/** A running Weft asks its threads every second. */
const AGAIN_MS = 1500;
const LOG = 'journalctl -u weft -n 50';

/** What one part of the examination found; without facts no check of the configuration can follow. */
export interface Part {
  facts: NodeFacts | undefined;
  findings: Finding[];
  /** The obstacles of a running Weft, which are among the findings too. */
  obstacles?: readonly Obstacle[];
}

/** Asks the running Weft. */
export async function askRunning(weft: RunningWeft): Promise<Part> {
  const { pid, runDir } = weft;
  const who = pid === undefined ? 'unknown pid' : `pid ${pid}`;
  if (weft.silent === true) return { facts: undefined, findings: [silence(weft, who)] };
  const here = ok('running', `weft runs here, ${who}, --run-dir ${runDir}`);
  let examined: Examined | NotStarted;
  try {
    examined = await askForFacts(runDir);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const why = 'The doctor does not learn what this Weft knows of itself and of its peers.';
    const fix = `weft status --run-dir ${shellWord(runDir)}`;
    const refused = problem('not-answering', 'error', `weft runs here, ${who}: ${error.message}`, why, fix);
    return { facts: undefined, findings: [refused] };
  }
  if (examined.facts === null) return { facts: undefined, findings: [here, notReadyOf(examined.notReady)] };
  const { facts, notReady, refusedLeases, obstacles } = examined;
  const findings = [here];
  if (notReady !== null) findings.push(notReadyOf(notReady));
  if (refusedLeases !== null) {
    const why = 'Weft keeps the last valid leases, and does not learn of new peers.';
    const { what, fix } = splitRemedy(refusedLeases);
    findings.push(
      problem(
        'leases-refused',
        'error',
        what,
        why,
        instruction(fix ?? 'correct the leases: Weft reads them again by itself'),
      ),
    );
  }
  return { facts, findings: [...findings, ...obstacles.map(findingOfObstacle)], obstacles };
}

/** Asks twice a Weft that is not ready: a thread that waits for a processor answers a moment later. */
async function askForFacts(runDir: string): Promise<Examined | NotStarted> {
  const request = async () => (await ask(runDir, { command: 'examine' })) as Examined | NotStarted;
  const answer = await request();
  if (answer.notReady === null) return answer;
  await delay(AGAIN_MS);
  return await request();
}

function notReadyOf(reason: string): Finding {
  const { what, fix } = splitRemedy(reason);
  const why = 'Pods of this node are not reached, or Weft does not learn of new peers.';
  const remedy = fix === undefined ? LOG : instruction(fix);
  return problem('not-ready', 'error', `Weft is not ready: ${what}`, why, remedy);
}

function silence({ pid, runDir }: RunningWeft, who: string): Finding {
  const stopped = pid !== undefined && /^State:\tT/m.test(read(`/proc/${pid}/status`));
  const what = stopped ? 'is stopped by a signal' : 'does not answer within 10 s';
  const why = stopped
    ? 'It forwards nothing in its threads, learns of no peer and repairs nothing.'
    : 'It may be blocked, or the machine overloaded: it learns of no peer and repairs nothing.';
  const restart =
    pid === undefined ? 'systemctl restart weft' : `kill -KILL ${pid}   # its manager starts it again`;
  const fix = stopped ? `kill -CONT ${pid}` : restart;
  return problem(
    'not-answering',
    'error',
    `weft runs here, ${who}, --run-dir ${runDir}, and ${what}`,
    why,
    fix,
  );
}
