/**
 * The exports of prom-client that Weft uses. The build replaces the compiled module by a bundle of this class alone
 * (scripts/build.mjs). The package itself also loads an OpenTelemetry client, for a metric that Weft does not have.
 */

export { type Metric, Registry } from 'prom-client';
