/** All fuzz targets. */

import { packetTargets } from './packets/targets.js';
import type { Target } from './target.js';

export function allTargets(): Target[] {
  return [...packetTargets()];
}
