// An answer that is computed when it is first asked for, and kept.

export function once<T>(compute: () => T): () => T {
  let answer: { readonly value: T } | undefined;
  return () => {
    answer ??= { value: compute() };
    return answer.value;
  };
}
