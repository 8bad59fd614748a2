// `/config_dump`: what was accepted, resource by resource, in Envoy's shape: protobuf JSON with the field names of the
// proto files. Written in pieces, so that a large configuration does not hold up traffic. Private keys are never in it.
import { setImmediate as nextTurn } from "node:timers/promises";
import { type JsonObject, type JsonValue, toJson } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { RE2JS } from "re2js";
import { describeError } from "#base/error.ts";
import { anyRegistry } from "../xds/any-registry.ts";
import type { ResourceTable } from "../xds/resource-table.ts";
import type { DumpType } from "./dump-messages.ts";
import { type FieldMask, isMaskOf, masked, parseMask } from "./field-mask.ts";
import { nodeJson } from "./node.ts";
import { withOpaqueTypes } from "./opaque-types.ts";
import type { ProxyState } from "./proxy-state.ts";
import { withoutSecrets } from "./redact.ts";
import { type Reply, text } from "./reply.ts";
import { missingSecretEntries, secretEntries } from "./secrets.ts";

/** Resources rendered in one turn of the event loop. */
const perTurn = 20;

interface Section {
  readonly type: DumpType;
  /** Fields before the lists. */
  readonly fields: JsonObject;
  readonly lists: readonly SectionList[];
}

interface SectionList {
  readonly name: string;
  readonly entries: () => Iterable<NamedEntry>;
}

interface NamedEntry {
  readonly name: string;
  readonly render: () => JsonObject;
}

export async function configDump(state: ProxyState, query: URLSearchParams): Promise<Reply> {
  const pattern = query.get("name_regex") ?? "";
  let accepts: (name: string) => boolean = () => true;
  if (pattern !== "") {
    try {
      const regex = RE2JS.compile(pattern);
      accepts = (name) => regex.testExact(name);
    } catch (error) {
      return text(`Error while parsing name_regex from ${pattern}: ${describeError(error)}\n`, 400);
    }
  }
  const sections = sectionsOf(state, query.has("include_eds"));
  const maskText = query.get("mask");
  const mask = maskText === null ? null : parseMask(maskText);
  const wanted = query.get("resource");
  if (wanted !== null) return dumpResource(sections, wanted, mask, accepts);
  const { messageOf } = await import("./dump-messages.ts");
  const shown = mask === null ? sections : sections.filter((section) => isMaskOf(mask, messageOf(section.type)));
  if (shown.length === 0) {
    return text(`FieldMask ${maskText} could not be successfully applied to any configs.`, 400);
  }
  return jsonPieces(renderSections(shown, mask, accepts));
}

async function dumpResource(
  sections: readonly Section[],
  wanted: string,
  mask: FieldMask | null,
  accepts: (name: string) => boolean,
): Promise<Reply> {
  const { messageOf } = await import("./dump-messages.ts");
  for (const section of sections) {
    const field = messageOf(section.type).fields.find((it) => it.name === wanted);
    if (field === undefined) continue;
    if (field.fieldKind !== "list" || field.listKind !== "message") {
      return text(`${wanted} is not a repeated field. Use ?mask=${wanted} to get only this field`, 400);
    }
    const list = section.lists.find(({ name }) => name === wanted);
    if (mask !== null && !isMaskOf(mask, field.message)) return refusedMask(mask);
    const entries = [...(list?.entries() ?? [])].filter((entry) => accepts(entry.name));
    const type = `type.googleapis.com/${field.message.typeName}`;
    if (mask === null) return jsonPieces(renderList(entries, type));
    // Few ask for it, and a field that a resource lacks refuses the whole.
    const trimmed = entries.map(({ name, render }) => ({ name, value: masked(render(), mask) }));
    if (trimmed.some(({ value }) => value === null)) return refusedMask(mask);
    return jsonPieces(
      renderList(
        trimmed.map(({ name, value }) => ({ name, render: () => value ?? {} })),
        type,
      ),
    );
  }
  return text(`${wanted} not found in config dump`, 404);
}

function refusedMask(mask: FieldMask): Reply {
  return text(`FieldMask ${pathsOf(mask).join(",")} could not be successfully used.`, 400);
}

function pathsOf(mask: FieldMask): string[] {
  return Object.entries(mask).flatMap(([name, below]) =>
    below === null ? [name] : pathsOf(below).map((path) => `${name}.${path}`),
  );
}

function jsonPieces(body: AsyncIterable<string>): Reply {
  return { status: 200, contentType: "application/json", body };
}

async function* renderSections(
  sections: readonly Section[],
  mask: FieldMask | null,
  accepts: (name: string) => boolean,
): AsyncIterable<string> {
  yield '{"configs":[';
  let separator = "";
  for (const section of sections) {
    const own = mask === null ? section.fields : (masked(section.fields, mask) ?? {});
    const fields = JSON.stringify({ "@type": dumpType(section), ...own });
    yield `${separator}\n${fields.slice(0, -1)}`;
    for (const list of section.lists) {
      if (mask !== null && !(list.name in mask)) continue;
      const entries = [...list.entries()].filter((entry) => accepts(entry.name));
      // Canonical JSON leaves empty lists out.
      if (entries.length === 0) continue;
      yield `,"${list.name}":[`;
      yield* renderEntries(entries);
      yield "]";
    }
    yield "}";
    separator = ",";
  }
  yield "\n]}\n";
}

async function* renderList(entries: readonly NamedEntry[], type: string): AsyncIterable<string> {
  yield '{"configs":[';
  yield* renderEntries(entries.map(({ name, render }) => ({ name, render: () => ({ "@type": type, ...render() }) })));
  yield "\n]}\n";
}

function dumpType(section: Section): string {
  return `type.googleapis.com/envoy.admin.v3.${section.type}`;
}

async function* renderEntries(entries: readonly NamedEntry[]): AsyncIterable<string> {
  let piece = "";
  for (const [index, entry] of entries.entries()) {
    piece += `${index === 0 ? "" : ","}\n${JSON.stringify(entry.render())}`;
    if (index % perTurn === perTurn - 1) {
      yield piece;
      piece = "";
      await nextTurn();
    }
  }
  yield piece;
}

function sectionsOf(state: ProxyState, withEndpoints: boolean): Section[] {
  const { configuration } = state;
  const isStatic = state.bootstrap !== null && state.ads() === null;
  const sections: Section[] = [
    {
      type: "BootstrapConfigDump",
      fields: {
        bootstrap: state.bootstrap ?? { node: nodeJson(state.node) },
        last_updated: timestamp(state.startedAtMs),
      },
      lists: [],
    },
    {
      type: "ClustersConfigDump",
      fields: versionField(configuration.clusters),
      lists: isStatic
        ? [
            {
              name: "static_clusters",
              entries: () => entries(configuration.clusters, "cluster", () => true),
            },
          ]
        : [
            {
              name: "dynamic_active_clusters",
              entries: () => entries(configuration.clusters, "cluster", (name) => configuration.isClusterLive(name)),
            },
            {
              name: "dynamic_warming_clusters",
              entries: () => entries(configuration.clusters, "cluster", (name) => !configuration.isClusterLive(name)),
            },
          ],
    },
  ];
  if (withEndpoints) {
    sections.push({
      type: "EndpointsConfigDump",
      fields: {},
      lists: [
        {
          name: "dynamic_endpoint_configs",
          entries: () => entries(configuration.endpoints, "endpoint_config", () => true),
        },
      ],
    });
  }
  sections.push(
    {
      type: "ListenersConfigDump",
      fields: versionField(configuration.listeners),
      lists: isStatic
        ? [
            {
              name: "static_listeners",
              entries: () => entries(configuration.listeners, "listener", () => true),
            },
          ]
        : [{ name: "dynamic_listeners", entries: () => dynamicListeners(state) }],
    },
    {
      type: "RoutesConfigDump",
      fields: {},
      lists: [
        {
          name: "dynamic_route_configs",
          entries: () => entries(configuration.routes, "route_config", () => true),
        },
      ],
    },
    {
      type: "EcdsConfigDump",
      fields: {},
      lists: [
        {
          name: "ecds_filters",
          entries: () => entries(configuration.extensions, "ecds_filter", () => true),
        },
      ],
    },
    {
      type: "SecretsConfigDump",
      fields: {},
      lists: [
        { name: "dynamic_active_secrets", entries: () => secretEntries(state.secrets) },
        { name: "dynamic_warming_secrets", entries: () => missingSecretEntries(state.secrets) },
      ],
    },
  );
  return sections;
}

function* entries<T>(table: ResourceTable<T>, field: string, accepts: (name: string) => boolean): Iterable<NamedEntry> {
  const refusals = refusalsOf(table);
  for (const held of table.values()) {
    if (!accepts(held.name)) continue;
    yield {
      name: held.name,
      render: () => ({
        ...(held.version !== "static" && { version_info: held.version }),
        [field]: anyJson(held.any),
        last_updated: timestamp(held.lastUpdatedMs),
        ...errorState(refusals.get(held.name)),
      }),
    };
  }
}

function* dynamicListeners(state: ProxyState): Iterable<NamedEntry> {
  const { listeners } = state.configuration;
  const refusals = refusalsOf(listeners);
  for (const held of listeners.values()) {
    const stateName = state.configuration.isListenerLive(held.name) ? "active_state" : "warming_state";
    const refused = refusals.get(held.name);
    refusals.delete(held.name);
    yield {
      name: held.name,
      render: () => ({
        name: held.name,
        [stateName]: {
          version_info: held.version,
          listener: anyJson(held.any),
          last_updated: timestamp(held.lastUpdatedMs),
        },
        ...errorState(refused),
      }),
    };
  }
  // Listeners that never had a valid version.
  for (const refused of refusals.values()) {
    yield { name: refused.name, render: () => ({ name: refused.name, ...errorState(refused) }) };
  }
}

type Refusal = ReturnType<ResourceTable<unknown>["refusals"]> extends IterableIterator<infer R> ? R : never;

function refusalsOf<T>(table: ResourceTable<T>): Map<string, Refusal> {
  return new Map([...table.refusals()].map((refused) => [refused.name, refused]));
}

function errorState(refused: Refusal | undefined): JsonObject {
  if (refused === undefined) return {};
  return {
    error_state: {
      last_update_attempt: timestamp(refused.lastAttemptMs),
      details: refused.reason,
      version_info: refused.version,
    },
  };
}

function versionField(table: ResourceTable<unknown>): JsonObject {
  return table.version === "" || table.version === "static" ? {} : { version_info: table.version };
}

function anyJson(any: Any): JsonValue {
  try {
    const shown = toJson(AnySchema, any, { registry: withOpaqueTypes(anyRegistry()), useProtoFieldName: true });
    return withoutSecrets(shown);
  } catch (error) {
    // Bytes of a part that was left out need not parse.
    return { "@type": any.typeUrl, error: error instanceof Error ? error.message : String(error) };
  }
}

export function timestamp(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
