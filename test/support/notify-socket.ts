/** A service manager's socket, as systemd has it: it collects the messages of sd_notify(3). */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { close } from '../../src/sys/ffi.js';
import { openDescriptorSocket, receiveDescriptors } from '../../src/sys/pass-descriptors.js';

export interface NotifySocket {
  /** The value of NOTIFY_SOCKET. */
  readonly name: string;
  /** Returns the messages so far, the oldest first. */
  messages(): readonly string[];
}

/** Listens until the end of the test: on a path, or on the abstract name that follows `@`. */
export function listenForNotices(t: Test, abstract?: `@${string}`): NotifySocket {
  const dir = mkdtempSync(join(tmpdir(), 'weft-'));
  const name = abstract ?? join(dir, 'notify');
  const fd = openDescriptorSocket(name.replace(/^@/, '\0'));
  t.teardown(() => {
    close(fd);
    rmSync(dir, { recursive: true });
  });
  const received: string[] = [];
  return {
    name,
    messages: () => {
      for (let next = receiveDescriptors(fd); next !== undefined; next = receiveDescriptors(fd))
        received.push(next.text);
      return received;
    },
  };
}
