/**
 * A kubeconfig file, checked, with the texts of the files that it names. Each error names the key, the fault and the
 * remedy, and shows no secret.
 */

import { dirname, resolve } from 'node:path';
import { readTextFile } from '../../support/read-file.js';
import { checkCertificates, checkKey, checkPair } from '../pem.js';
import { type Cluster, parseYaml, type User } from './library.js';
import { kindOf, Section } from './yaml-section.js';

const EXAMPLE = 'copy a kubeconfig to it, such as "kubectl config view --raw --minify" prints';

/** What the current context names. */
export interface CurrentContext {
  /** Undefined if the file names none, and another option names the server. */
  cluster: Cluster | undefined;
  user: User;
  /** The key with the CA, and the keys with the credentials, for messages; undefined without them. */
  ca: string | undefined;
  credentials: string | undefined;
  /** The key with the client certificate. */
  client: string | undefined;
  /** All files that were read. */
  files: string[];
}

/** Reads the file; the context may be missing if `optional`. @throws Error with the reason and the remedy only */
export async function readKubeconfig(path: string, optional: boolean): Promise<CurrentContext> {
  const root = rootOf(await readTextFile(path));
  const [clusters, contexts, users] = ['clusters', 'contexts', 'users'].map((key) =>
    entriesOf(root, key),
  ) as [Entries, Entries, Entries];
  const name = root.text('current-context');
  const context = name === undefined ? undefined : contexts.get(name);
  if (context === undefined && !optional) throw new Error(missing(name, contexts));
  const cluster = named(clusters, 'cluster', context, name);
  const user = named(users, 'user', context, name);
  if (cluster === undefined && !optional) {
    throw new Error(`context "${name}" has no cluster; set it to one of clusters${list(clusters)}`);
  }
  const reader = new Reader(dirname(path), [path]);
  const read = await readUser(user, reader);
  const ca =
    cluster === undefined ? undefined : await reader.pem(cluster, 'certificate-authority', checkCertificates);
  return {
    ...read,
    cluster: cluster === undefined ? undefined : readCluster(cluster, ca?.data),
    ca: ca?.origin,
    files: reader.files,
  };
}

type Entries = ReadonlyMap<string, Section>;

/** Reads the files that a kubeconfig names, and keeps their names. */
class Reader {
  readonly files: string[];
  private readonly folder: string;

  constructor(folder: string, files: string[]) {
    this.folder = folder;
    this.files = files;
  }

  /** Returns the text of the file under `key`. @throws Error */
  async file(section: Section, key: string): Promise<{ text: string; origin: string } | undefined> {
    const name = section.text(key);
    if (name === undefined) return undefined;
    const path = resolve(this.folder, name);
    this.files.push(path);
    const origin = `${section.keyOf(key)} ${path}`;
    try {
      return { text: await readTextFile(path), origin };
    } catch (error) {
      throw new Error(`${origin}: ${(error as Error).message}`);
    }
  }

  /** Returns PEM in base64, from `<key>-data` or from the file under `key`, as client-go does. @throws Error */
  async pem(
    section: Section,
    key: string,
    check: (text: string) => void,
  ): Promise<{ data: string; text: string; origin: string } | undefined> {
    const inline = section.text(`${key}-data`);
    const { text, origin } =
      inline === undefined
        ? ((await this.file(section, key)) ?? { text: undefined, origin: '' })
        : { text: fromBase64(inline), origin: section.keyOf(`${key}-data`) };
    if (text === undefined) return undefined;
    try {
      check(text);
    } catch (error) {
      const encoding = inline === undefined ? 'PEM' : 'PEM in base64';
      throw new Error(`${origin}: ${(error as Error).message}; it must be ${encoding}`);
    }
    return { data: Buffer.from(text).toString('base64'), text, origin };
  }
}

/** Characters of a syntax error's reason. */
const MAX_REASON = 100;

/** @throws Error unless the text is a kubeconfig in YAML or JSON */
function rootOf(text: string): Section {
  let value: unknown;
  try {
    value = parseYaml(text);
  } catch (error) {
    // The library's message shows lines of the file, which may hold secrets.
    const { reason, mark } = error as { reason?: string; mark?: { line: number } };
    // The reason may quote a name of the file, of any length.
    const cause = (reason ?? 'syntax error').slice(0, MAX_REASON);
    throw new Error(`line ${(mark?.line ?? 0) + 1} is not YAML (${cause}); correct it`);
  }
  if (value === undefined || value === null) throw new Error(`the file is empty; ${EXAMPLE}`);
  if (kindOf(value) !== 'a mapping')
    throw new Error(`the file is ${kindOf(value)}, not a kubeconfig; ${EXAMPLE}`);
  const root = new Section('', value);
  const kind = root.text('kind');
  if (kind !== undefined && kind !== 'Config') {
    throw new Error(`kind is "${kind}", but a kubeconfig has kind: Config; ${EXAMPLE}`);
  }
  return root;
}

/** Returns the entries of a list by name; each is `{ name, cluster }`, `{ name, context }` or `{ name, user }`. */
function entriesOf(root: Section, key: string): Entries {
  const value = root.get(key) ?? [];
  if (!Array.isArray(value)) throw new Error(`${key} is ${kindOf(value)}; it must be a list`);
  return new Map(
    value.map((element: unknown, index) => {
      const entry = new Section(`${key}[${index}]`, element);
      const name = entry.text('name');
      if (name === undefined) throw new Error(`${entry.keyOf('name')} is missing; each entry needs a name`);
      const field = key.slice(0, -1);
      return [name, new Section(entry.keyOf(field), entry.get(field) ?? (field === 'user' ? {} : undefined))];
    }),
  );
}

/** Returns the entry that a context names. @throws Error if the list lacks it */
function named(
  entries: Entries,
  key: 'cluster' | 'user',
  context: Section | undefined,
  contextName: string | undefined,
): Section | undefined {
  const name = context?.text(key);
  if (name === undefined) return undefined;
  const entry = entries.get(name);
  if (entry !== undefined) return entry;
  throw new Error(
    `context "${contextName}" names ${key} "${name}", which is not in ${key}s${list(entries)}; correct the name`,
  );
}

function missing(name: string | undefined, contexts: Entries): string {
  if (contexts.size === 0) return `contexts has no entry; ${EXAMPLE}`;
  const fault =
    name === undefined ? 'current-context is missing' : `current-context "${name}" is not in contexts`;
  return `${fault}; set current-context to one of its contexts${list(contexts)}`;
}

function list(entries: Entries): string {
  return entries.size === 0 ? ' (there are none)' : ` (${[...entries.keys()].join(', ')})`;
}

function readCluster(cluster: Section, caData: string | undefined): Cluster {
  const server = cluster.text('server');
  if (server === undefined)
    throw new Error(`${cluster.keyOf('server')} is missing; set it to the URL of the API server`);
  const skip = cluster.get('insecure-skip-tls-verify') ?? false;
  if (typeof skip !== 'boolean') {
    throw new Error(
      `${cluster.keyOf('insecure-skip-tls-verify')} is ${kindOf(skip)}; it must be true or false`,
    );
  }
  const [tlsServerName, proxyUrl] = [cluster.text('tls-server-name'), cluster.text('proxy-url')];
  if (proxyUrl !== undefined && !URL.canParse(proxyUrl)) {
    throw new Error(
      `${cluster.keyOf('proxy-url')} "${proxyUrl}" is not a URL; write it like http://proxy:3128`,
    );
  }
  return {
    ...{ name: 'cluster', server, skipTLSVerify: skip },
    ...(caData === undefined ? {} : { caData }),
    ...(tlsServerName === undefined ? {} : { tlsServerName }),
    ...(proxyUrl === undefined ? {} : { proxyUrl }),
  };
}

async function readUser(
  user: Section | undefined,
  reader: Reader,
): Promise<Pick<CurrentContext, 'user' | 'credentials' | 'client'>> {
  if (user === undefined) return { user: { name: 'anonymous' }, credentials: undefined, client: undefined };
  const cert = await reader.pem(user, 'client-certificate', checkCertificates);
  const key = await reader.pem(user, 'client-key', checkKey);
  if ((cert === undefined) !== (key === undefined)) {
    const [have, lack] =
      cert === undefined ? ['client-key', 'client-certificate'] : ['client-certificate', 'client-key'];
    throw new Error(`${user.path} has a ${have} but no ${lack}; set both`);
  }
  if (cert !== undefined && key !== undefined) checkSamePair(cert, key);
  const file = (await reader.file(user, 'tokenFile')) ?? (await reader.file(user, 'token-file'));
  const token = file?.text.trim() ?? user.text('token');
  if (token !== undefined) checkToken(token, file?.origin ?? user.keyOf('token'));
  const [username, password, impersonateUser] = ['username', 'password', 'as'].map((name) => user.text(name));
  const found: User = { name: 'user' };
  const fields = {
    certData: cert?.data,
    keyData: key?.data,
    ...{ token, username, password, impersonateUser },
    exec: helperIn(user, 'exec', 'command'),
    authProvider: helperIn(user, 'auth-provider', 'name'),
  };
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) Object.assign(found, { [name]: value });
  }
  const origins = [cert?.origin, file?.origin ?? (token && user.keyOf('token'))].filter(Boolean);
  return { user: found, credentials: origins.join(' and ') || user.path, client: cert?.origin };
}

/** Returns an exec plugin or an auth provider, which the library checks further. @throws Error if it lacks `needed` */
function helperIn(section: Section, key: string, needed: string): unknown {
  const value = section.get(key);
  if (value === undefined) return undefined;
  const helper = new Section(section.keyOf(key), value);
  if (helper.text(needed) === undefined) throw new Error(`${helper.keyOf(needed)} is missing; set it`);
  return value;
}

function checkSamePair(cert: { text: string; origin: string }, key: { text: string; origin: string }): void {
  try {
    checkPair(cert.text, key.text);
  } catch (error) {
    throw new Error(
      `${cert.origin} and ${key.origin} do not match (${(error as Error).message}); use the key of this certificate`,
    );
  }
}

/** @throws Error for a token that cannot be in an HTTP header */
export function checkToken(token: string, origin: string): void {
  if (token === '') throw new Error(`${origin}: the token is empty; write the bearer token to it`);
  if (/[^\x21-\x7e]/.test(token)) {
    throw new Error(
      `${origin}: the token has a space, a line break or another character that no token has; correct it`,
    );
  }
}

/** Returns the bytes of base64 as text; a text in another encoding becomes one that is no PEM. */
function fromBase64(text: string): string {
  return Buffer.from(text, 'base64').toString();
}
