// Prints the software bill of materials (CycloneDX, JSON): the packages that a node gets, with version, hash and licence.
//
// `npm sbom` reads package-lock.json. It takes the packages that are bundled at build time for development packages, so
// this script keeps what the runtime dependencies and the bundles reach.
//
// Use: npm run sbom --silent > weft.cdx.json

import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { BUNDLED } from './build.mjs';
import { main, ROOT, run } from './run.mjs';

/** Returns the bill of materials as an object. */
export async function billOfMaterials() {
  const npm = process.env.npm_execpath === undefined ? ['npm'] : [process.execPath, process.env.npm_execpath];
  const flags = ['--package-lock-only', '--sbom-format=cyclonedx', '--sbom-type=application'];
  const bom = JSON.parse(await run([...npm, 'sbom', ...flags]));
  const { name, dependencies } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
  const root = bom.metadata.component;
  const edges = new Map(bom.dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
  const direct = edges.get(root['bom-ref']).filter((ref) => {
    const [, packageName] = /^(.+)@/.exec(ref);
    return packageName in dependencies || BUNDLED.includes(packageName);
  });
  edges.set(root['bom-ref'], direct);
  const kept = new Set();
  const keep = (ref) => {
    if (kept.has(ref)) return;
    kept.add(ref);
    for (const next of edges.get(ref) ?? []) keep(next);
  };
  keep(root['bom-ref']);
  root.name = name;
  bom.components = bom.components
    .filter((component) => kept.has(component['bom-ref']))
    .map((component) => ({
      ...component,
      properties: component.properties.filter((property) => property.name !== 'cdx:npm:package:development'),
    }));
  bom.dependencies = [...edges]
    .filter(([ref]) => kept.has(ref))
    .map(([ref, dependsOn]) => ({ ref, dependsOn }));
  return bom;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  await main(async () => console.log(JSON.stringify(await billOfMaterials(), null, 2)));
