// The bill of materials of a release: that of `npm run sbom`, the Node of each architecture, and what the image adds.

import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { billOfMaterials } from '../sbom.mjs';
import { sourceDate } from './source-date.mjs';
import { ARCHITECTURES, NODE } from './stage.mjs';

/**
 * Writes weft-<version>.cdx.json. Two runs write the same bytes: time and serial number follow from the content.
 * @param {{ archs: string[], version: string, outDir: string, components: object[] }} options components: what else the
 *   release contains, in CycloneDX's form
 * @returns {Promise<string>} the path
 */
export async function writeBom({ archs, version, outDir, components }) {
  const bom = await billOfMaterials();
  const more = [...archs.map(nodeComponent), ...components];
  bom.components.push(...more);
  bom.dependencies
    .find(({ ref }) => ref === bom.metadata.component['bom-ref'])
    .dependsOn.push(...more.map((component) => component['bom-ref']));
  bom.metadata.timestamp = new Date((await sourceDate()) * 1000).toISOString();
  delete bom.serialNumber;
  const hex = createHash('sha256').update(JSON.stringify(bom)).digest('hex');
  // A UUID of version 8, whose bits are free (RFC 9562, 5.8).
  const groups = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(12, 15)}`,
    `8${hex.slice(15, 18)}`,
    hex.slice(18, 30),
  ];
  bom.serialNumber = `urn:uuid:${groups.join('-')}`;
  const path = join(outDir, `weft-${version}.cdx.json`);
  writeFileSync(path, `${JSON.stringify(bom, null, 2)}\n`);
  return path;
}

function nodeComponent(arch) {
  const { version, integrity } = NODE[arch];
  const name = `node-linux-${ARCHITECTURES[arch].node}`;
  return {
    'bom-ref': `${name}@${version}`,
    type: 'platform',
    name,
    version,
    purl: `pkg:npm/${name}@${version}`,
    hashes: [
      { alg: 'SHA-512', content: Buffer.from(integrity.replace('sha512-', ''), 'base64').toString('hex') },
    ],
    licenses: [{ license: { id: 'MIT' } }],
  };
}
