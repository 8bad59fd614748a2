// Envoy writes field names as the proto files have them (`filter_chains`), istioctl as proto's JSON has them
// (`filterChains`). Everything behind this file sees the second. Keys that are data stay as they are: those of maps, and
// everything in free-form structs. It goes by names and not by descriptors, because a dump may hold any extension.

/** Fields with a map from names that somebody chose to messages. */
const mapFields = new Set([
  "dimensions",
  "map",
  "namedEndpoints",
  "policies",
  "providers",
  "requirementMap",
  "requires",
  "typedExtensionProtocolOptions",
  "typedFilterMetadata",
  "typedPerFilterConfig",
]);

/** Fields with a google.protobuf.Struct, or a map of them. */
const freeFields = new Set(["defaultSubset", "filterMetadata", "jsonFormat", "staticLayer"]);

const freeTypes = /(\.TypedStruct|google\.protobuf\.(Struct|Value))$/;

/** The JSON of protobuf messages with camelCase field names, whichever spelling it had. */
export function camelCaseFields(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(camelCaseFields);
  if (!isRecord(value)) return value;
  const type = value["@type"];
  const isFreeForm = typeof type === "string" && freeTypes.test(type);
  return Object.fromEntries(
    Object.entries(value).map(([key, below]) => {
      const name = camelCase(key);
      if (isFreeForm && name === "value") return [name, below];
      return [name, camelCaseField(name, below)];
    }),
  );
}

function camelCaseField(name: string, value: unknown): unknown {
  if (freeFields.has(name) || !isRecord(value)) return Array.isArray(value) ? camelCaseFields(value) : value;
  if (mapFields.has(name))
    return Object.fromEntries(Object.entries(value).map(([key, below]) => [key, camelCaseFields(below)]));
  if (name !== "node") return camelCaseFields(value);
  // A node's metadata is a struct; everywhere else it is a message.
  const { metadata, ...node } = value;
  const fields = camelCaseFields(node) as object;
  return metadata === undefined ? fields : { ...fields, metadata };
}

function camelCase(name: string): string {
  return name.startsWith("@") ? name : name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
