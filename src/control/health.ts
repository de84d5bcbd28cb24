/** The health endpoints /healthz and /readyz, as flanneld has them. */

import type { HealthOptions } from './options.js';

export interface HealthServer {
  close(): Promise<void>;
}

/**
 * Starts to answer; `obstacle` says why the node is not ready, null when it is.
 * @throws UserError when the address cannot be listened on
 */
export async function listenHealth(
  _options: HealthOptions,
  _obstacle: () => string | null,
): Promise<HealthServer> {
  return { close: async () => {} };
}
