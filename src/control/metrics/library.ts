/**
 * The exports of prom-client that Weft uses. The build replaces the compiled module by a bundle of these classes alone
 * (scripts/build.mjs): the package also loads an OpenTelemetry client, for metrics that Weft does not have.
 */

export { Counter, Gauge, Registry } from 'prom-client';
