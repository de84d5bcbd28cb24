/** A switch for tests: how the fast path's programs are attached. An operator needs none of it. */

import type { AttachOptions } from '../dataplane/dataplane.js';

/**
 * WEFT_TEST_ATTACH is `tcx` or `clsact`: the only way of attaching. WEFT_TEST_BPF_FS is the path of a BPF file system.
 */
export function attachOptions(env: NodeJS.ProcessEnv): AttachOptions {
  const { WEFT_TEST_ATTACH: attachment, WEFT_TEST_BPF_FS: fileSystem } = env;
  return {
    ...((attachment === 'tcx' || attachment === 'clsact') && { attachment }),
    ...(fileSystem !== undefined && { fileSystem }),
  };
}
