/**
 * The gate for the text that Weft passes to `ip -batch`, iptables-restore and nft, where each line is a command. All values
 * in it are parsed and formatted before; this check finds the value that is not.
 */

import { show, UserError } from './user-error.js';

/** With a line break the rest of a value would be another command. */
const CONTROL = /\p{Cc}/u;

/**
 * What iproute2 interprets in a batch (lib/utils.c: getcmdline, makeargs): comments, quotes, continued lines. It cannot
 * be quoted.
 */
const IP_SYNTAX = /["#'\\]/;

/** Returns the text of an `ip -batch`. @throws UserError for a command that `ip` would read as something else */
export function ipBatchText(commands: readonly string[]): string {
  for (const command of commands) checkIpCommand(command);
  return `${commands.join('\n')}\n`;
}

/** @throws UserError for a command of `ip` whose words are not what they seem */
export function checkIpCommand(command: string): void {
  if (CONTROL.test(command) || IP_SYNTAX.test(command)) throw refused('ip', command);
}

/** Whether `ip -batch` can name the device. The kernel allows any bytes but white space, slash and colon. */
export function isIpWord(name: string): boolean {
  return name !== '' && !/[\s\p{Cc}]/u.test(name) && !IP_SYNTAX.test(name);
}

/** Returns the text of iptables-restore or nft. @throws UserError for a line with a control character but leading tabs */
export function commandText(program: string, lines: readonly string[]): string {
  for (const line of lines) if (CONTROL.test(line.replace(/^\t+/, ''))) throw refused(program, line);
  return `${lines.join('\n')}\n`;
}

function refused(program: string, command: string): UserError {
  return new UserError(
    `${program}: the command ${show(command)} is not run: it has a character that would change its meaning; find and correct the file or device name that has it`,
  );
}
