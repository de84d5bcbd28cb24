/** The lease source that the command line asks for. Each one's libraries are loaded by its own module, when it is asked for. */

import type { SourceOptions } from '../options.js';
import type { LeaseSource } from './source.js';

export async function sourceFor(options: SourceOptions): Promise<LeaseSource> {
  switch (options.type) {
    case 'file': {
      const { FileLeaseSource } = await import('./file/file-source.js');
      return new FileLeaseSource(options);
    }
    case 'kubernetes': {
      const { KubernetesLeaseSource } = await import('./kubernetes/kubernetes-source.js');
      return new KubernetesLeaseSource(options);
    }
    case 'etcd': {
      const { EtcdLeaseSource } = await import('./etcd/etcd-source.js');
      return new EtcdLeaseSource(options);
    }
  }
}
