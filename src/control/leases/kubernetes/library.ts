/**
 * The exports of @kubernetes/client-node that Weft uses, and the YAML parser in it. The build replaces the compiled
 * module by a bundle (scripts/build.mjs). The package itself loads 700 generated modules, which need as much memory as
 * the rest of Weft (docs/decisions/0010-kubernetes-client.md).
 */

export { type Cluster, KubeConfig, type User } from '@kubernetes/client-node';
export { load as parseYaml } from 'js-yaml';
