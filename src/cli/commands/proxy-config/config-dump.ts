// Reads Envoy's `/config_dump` JSON: the parts that the tables show, whoever wrote the dump (our proxy or Envoy) and
// with whichever spelling of field names (the admin API's, or that of `istioctl -o json`).
import { camelCaseFields } from "./field-names.ts";

export type Json = Readonly<Record<string, unknown>>;

export interface ConfigDump {
  /** All of it, with camelCase field names. */
  readonly whole: Json;
  readonly listeners: readonly Json[];
  readonly routes: readonly Json[];
  readonly clusters: readonly Json[];
  readonly endpoints: readonly Json[];
  /** Settings of filters that came by themselves. */
  readonly extensions: readonly Json[];
  readonly secrets: readonly SecretEntry[];
  /** As istioctl prints it: the section without its type. */
  readonly secretSection: Json;
  readonly bootstrapSection: Json;
  /** What the control plane sent and the proxy has in force. */
  readonly dynamic: DynamicResources;
}

export interface SecretEntry {
  readonly name: string;
  readonly state: "ACTIVE" | "WARMING";
  readonly secret: Json;
}

export interface DynamicResource {
  readonly version: string;
  readonly resource: Json;
}

export interface DynamicResources {
  readonly clusters: readonly DynamicResource[];
  readonly listeners: readonly DynamicResource[];
  readonly routes: readonly DynamicResource[];
}

export function readConfigDump(value: unknown): ConfigDump {
  const whole = object(camelCaseFields(value));
  const sections = list(whole["configs"]);
  const section = (suffix: string): Json => sections.find((item) => text(item["@type"]).endsWith(suffix)) ?? {};
  const endpoints = section("EndpointsConfigDump");
  const listeners = section("ListenersConfigDump");
  const routes = section("RoutesConfigDump");
  const clusters = section("ClustersConfigDump");
  const secrets = section("SecretsConfigDump");
  const dynamic = {
    clusters: list(clusters["dynamicActiveClusters"]).flatMap((entry) => resourceOf(entry, "cluster")),
    listeners: list(listeners["dynamicListeners"]).flatMap((entry) =>
      resourceOf(object(entry["activeState"]), "listener"),
    ),
    routes: list(routes["dynamicRouteConfigs"]).flatMap((entry) => resourceOf(entry, "routeConfig")),
  };
  const fixed = (entries: unknown, field: string): Json[] =>
    list(entries).flatMap((entry) => resourceOf(entry, field).map(({ resource }) => resource));
  const sent = (resources: readonly DynamicResource[]): Json[] => resources.map(({ resource }) => resource);
  return {
    whole,
    listeners: [...fixed(listeners["staticListeners"], "listener"), ...sent(dynamic.listeners)],
    routes: [...fixed(routes["staticRouteConfigs"], "routeConfig"), ...sent(dynamic.routes)],
    clusters: [...fixed(clusters["staticClusters"], "cluster"), ...sent(dynamic.clusters)],
    endpoints: [
      ...fixed(endpoints["staticEndpointConfigs"], "endpointConfig"),
      ...fixed(endpoints["dynamicEndpointConfigs"], "endpointConfig"),
    ],
    extensions: fixed(section("EcdsConfigDump")["ecdsFilters"], "ecdsFilter"),
    secrets: [
      ...[...list(secrets["staticSecrets"]), ...list(secrets["dynamicActiveSecrets"])].map((entry) =>
        secretEntry(entry, "ACTIVE"),
      ),
      ...list(secrets["dynamicWarmingSecrets"]).map((entry) => secretEntry(entry, "WARMING")),
    ],
    secretSection: withoutType(secrets),
    bootstrapSection: withoutType(section("BootstrapConfigDump")),
    dynamic,
  };
}

function resourceOf(entry: Json, field: string): DynamicResource[] {
  const resource = object(entry[field]);
  return Object.keys(resource).length === 0 ? [] : [{ version: text(entry["versionInfo"]), resource }];
}

function secretEntry(entry: Json, state: SecretEntry["state"]): SecretEntry {
  return { name: text(entry["name"]), state, secret: object(entry["secret"]) };
}

export function withoutType(value: Json): Json {
  const { "@type": _, ...fields } = value;
  return fields;
}

export function object(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

export function list(value: unknown): Json[] {
  return Array.isArray(value) ? value.map(object) : [];
}

export function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}

/** The content of a DataSource that is given inline. */
export function inlineText(value: unknown): string {
  const source = object(value);
  const inline = text(source["inlineString"]);
  return inline !== "" ? inline : Buffer.from(text(source["inlineBytes"]), "base64").toString();
}
