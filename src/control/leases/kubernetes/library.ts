/**
 * What is used of @kubernetes/client-node, and of the YAML parser it brings. The build replaces the compiled module by a bundle of it
 * (scripts/build.mjs): the package itself would load 700 generated modules, and cost as much memory as all else in Weft.
 * docs/decisions/0010-kubernetes-client.md has the figures.
 */

export { type Cluster, KubeConfig, Watch } from '@kubernetes/client-node';
export { load as parseYaml } from 'js-yaml';
