// envoy.filters.http.set_metadata: puts configured values into the metadata of every request.
import { type Config, ConfigSchema } from "#wire/gen/envoy/extensions/filters/http/set_metadata/v3/set_metadata_pb.ts";
import {
  CONTINUE,
  defineHttpFilter,
  type FilterPlace,
  type HttpFilterType,
  settingsFrom,
  sharedFilter,
} from "../../filter.ts";

interface MetadataEntry {
  readonly namespace: string;
  readonly value: Readonly<Record<string, unknown>>;
  /** Into a namespace that is there already. */
  readonly mayOverwrite: boolean;
}

export const setMetadata: HttpFilterType = defineHttpFilter<readonly MetadataEntry[]>({
  type: "set_metadata",
  messages: [settingsFrom(ConfigSchema, parse)],
  configure: (entries, { environment: { stats }, statPrefix }) => {
    const denied = stats.counter(`${statPrefix}set_metadata.overwrite_denied`);
    return sharedFilter({
      onRequestHeaders: (stream) => {
        for (const { namespace, value, mayOverwrite } of entries) {
          const before = stream.metadata(namespace);
          if (before !== undefined && !mayOverwrite) {
            denied.add();
            continue;
          }
          for (const [key, own] of Object.entries(value))
            stream.setMetadata(namespace, key, merged(before?.[key], own));
        }
        return CONTINUE;
      },
    });
  },
});

function parse(message: Config, { path, problems }: FilterPlace): MetadataEntry[] {
  const entries: MetadataEntry[] = [];
  if (message.metadataNamespace !== "") {
    entries.push({ namespace: message.metadataNamespace, value: message.value ?? {}, mayOverwrite: true });
  }
  for (const [i, { metadataNamespace, allowOverwrite, value, typedValue }] of message.metadata.entries()) {
    const at = `${path}.metadata[${i}]`;
    if (metadataNamespace === "") problems.invalid(`${at}.metadata_namespace`, "is missing");
    if (typedValue !== undefined) problems.unsupported(`${at}.typed_value`, "typed metadata");
    entries.push({ namespace: metadataNamespace, value: value ?? {}, mayOverwrite: allowOverwrite });
  }
  return entries;
}

/** As Envoy: objects are merged, lists joined, and other values replaced. */
function merged(before: unknown, own: unknown): unknown {
  if (Array.isArray(before) && Array.isArray(own)) return [...before, ...own];
  if (!isObject(before) || !isObject(own)) return own;
  const result: Record<string, unknown> = Object.assign(Object.create(null), before);
  for (const [key, value] of Object.entries(own)) result[key] = merged(before[key], value);
  return result;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
