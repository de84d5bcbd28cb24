/**
 * What is used of @kubernetes/client-node. The build replaces the compiled module by a bundle of it
 * (scripts/build.mjs): the package itself would load 700 generated modules, and cost as much memory as all else in Weft.
 * docs/decisions/0010-kubernetes-client.md has the figures.
 */

export { KubeConfig, Watch } from '@kubernetes/client-node';
