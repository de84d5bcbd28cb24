/** Files that only their owner may use, from their creation on. */

/** Runs `create`, which creates files or sockets before it returns: they have no rights for group and others. */
export function ownerOnly<T>(create: () => T): T {
  const umask = process.umask(0o177);
  try {
    return create();
  } finally {
    process.umask(umask);
  }
}
