// Renders the folders of deploy/kubernetes as `kubectl kustomize` does, which no package of npm or Debian has in a recent
// version. It knows the fields that these folders use, and refuses every other one.
//
// Fields: resources, components, patches (strategic merge, by path), namespace, images (newName, newTag).

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { loadAll } from 'js-yaml';
import { SetupError } from './run.mjs';

const FIELDS = ['apiVersion', 'kind', 'resources', 'components', 'patches', 'namespace', 'images'];

/** The field by which the items of a list belong together, as the API's types state it. Other lists are replaced. */
const MERGE_KEYS = {
  containers: 'name',
  env: 'name',
  initContainers: 'name',
  volumeMounts: 'mountPath',
  volumes: 'name',
};

/** The kinds without a namespace that these folders use. */
const CLUSTER_KINDS = ['ClusterRole', 'ClusterRoleBinding', 'Namespace'];

/**
 * Renders a folder with a kustomization.yaml.
 * @param {string} folder
 * @returns {object[]} the objects, in the order of the resources
 */
export function render(folder) {
  return apply(folder, []);
}

/** Adds the resources of a folder to the objects, and then applies its transformers to all of them. */
function apply(folder, objects) {
  const path = join(folder, 'kustomization.yaml');
  const [kustomization] = documents(path);
  const unknown = Object.keys(kustomization).filter((field) => !FIELDS.includes(field));
  if (unknown.length > 0)
    throw new SetupError(`${path}: scripts/kustomize.mjs does not know the field ${unknown.join(', ')}`);
  const { resources = [], components = [], patches = [], namespace, images = [] } = kustomization;
  let all = [...objects, ...resources.flatMap((name) => load(join(folder, name)))];
  for (const name of components) all = apply(join(folder, name), all);
  for (const patch of patches) {
    for (const document of documents(join(folder, pathOf(patch, path)))) all = patched(all, document, path);
  }
  if (namespace !== undefined) for (const object of all) setNamespace(object, namespace);
  for (const image of images) for (const object of all) setImage(object, image);
  return all;
}

function load(path) {
  return statSync(path).isDirectory() ? render(path) : documents(path);
}

function documents(path) {
  try {
    return loadAll(readFileSync(path, 'utf8')).filter((document) => document !== null);
  } catch (error) {
    throw new SetupError(`${path}: ${error.message}`);
  }
}

function pathOf(patch, file) {
  if (typeof patch.path === 'string' && Object.keys(patch).length === 1) return patch.path;
  throw new SetupError(`${file}: scripts/kustomize.mjs knows only patches with a path`);
}

/** Applies a patch to the one object of its kind, name and namespace. */
function patched(objects, patch, file) {
  const targets = objects.filter((object) => identity(object) === identity(patch));
  if (targets.length !== 1)
    throw new SetupError(`${file}: a patch for ${identity(patch)}, of which there are ${targets.length}`);
  return objects.flatMap((object) => {
    if (object !== targets[0]) return [object];
    return patch.$patch === 'delete' ? [] : [merge(object, patch)];
  });
}

function identity({ apiVersion, kind, metadata }) {
  return [apiVersion, kind, metadata.namespace, metadata.name].filter(Boolean).join(' ');
}

/** Returns the strategic merge of a patch into a value. */
function merge(value, patch, field) {
  if (Array.isArray(patch)) return mergeLists(value, patch, MERGE_KEYS[field]);
  if (!isMap(patch) || !isMap(value)) return patch;
  const merged = { ...value };
  for (const [name, part] of Object.entries(patch)) {
    if (part === null) delete merged[name];
    else merged[name] = merge(merged[name], part, name);
  }
  return merged;
}

function mergeLists(value, patch, key) {
  if (key === undefined || !Array.isArray(value)) return patch;
  const remaining = new Map(value.map((item) => [item[key], item]));
  for (const item of patch) {
    if (item.$patch === 'delete') remaining.delete(item[key]);
    else remaining.set(item[key], merge(remaining.get(item[key]) ?? {}, item));
  }
  return [...remaining.values()];
}

function isMap(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function setNamespace(object, namespace) {
  if (object.kind === 'Namespace') object.metadata.name = namespace;
  else if (!CLUSTER_KINDS.includes(object.kind)) object.metadata.namespace = namespace;
  for (const subject of object.subjects ?? [])
    if (subject.kind === 'ServiceAccount') subject.namespace = namespace;
}

function setImage(object, { name, newName = name, newTag }) {
  const { initContainers = [], containers = [] } = object.spec?.template?.spec ?? {};
  for (const container of [...initContainers, ...containers])
    if (container.image.replace(/:[^/]*$/, '') === name) container.image = `${newName}:${newTag}`;
}
