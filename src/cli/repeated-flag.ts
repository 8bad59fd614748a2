// A flag that may be repeated: every value, in the order in which they stand.

export function collect(value: string, previous: readonly string[]): string[] {
  return [...previous, value];
}
