/** A promise with its resolvers: Promise.withResolvers, which Node 20 lacks. */
interface Deferred {
  promise: Promise<void>;
  resolve: () => void;
  reject: (reason: Error) => void;
}

/** Returns a pending promise. Its rejection is not reported as unhandled, even if nothing awaits it. */
export function deferred(): Deferred {
  let resolve = (): void => {};
  let reject = (_: Error): void => {};
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}
