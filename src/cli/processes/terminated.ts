// SIGTERM and SIGINT as a promise, for processes that run until they are told to end.

export function terminated(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
}
