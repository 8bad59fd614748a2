// Envoy's messages by name, for the kinds in which users write Envoy's own configuration. They are many (80 ms and
// 40 MB), so whoever reads such objects loads them first.
import type { Registry } from "@bufbuild/protobuf";

let types: Registry | undefined;

/** To be awaited before an EnvoyFilter is read. */
export async function loadEnvoyTypes(): Promise<void> {
  types ??= (await import("#wire/gen/all-types.ts")).allTypes;
}

export function envoyTypes(): Registry {
  if (types === undefined) throw new Error("loadEnvoyTypes was not awaited");
  return types;
}
