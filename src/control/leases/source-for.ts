/** Creates the lease source of the command line. Only that source's module and libraries are loaded. */

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
