// Providers of access logs, metrics and traces that mesh configuration names (`extensionProviders`), read from its raw JSON.
// `prometheus` and `envoy` are there without being named, as in Istio.
import type { MeshConfig } from "../../kinds/mesh-config/spec.ts";
import type { AccessLogSettings } from "./access-log.ts";
import { logServiceKinds } from "./log-service.ts";
import { type Fields, fieldsOf, list, text } from "./provider-fields.ts";

type TelemetryProvider =
  | { readonly kind: "prometheus" }
  | { readonly kind: "file"; readonly settings: AccessLogSettings }
  /** Takes logs over gRPC. */
  | { readonly kind: "service"; readonly provider: Fields }
  /** One that this version does not speak to. */
  | { readonly kind: "other" };

/** Undefined when no provider has the name. The empty name is the log of mesh configuration. */
export function telemetryProvider(config: MeshConfig, name: string): TelemetryProvider | undefined {
  if (name === "") return config.accessLogFile === "" ? undefined : { kind: "file", settings: config };
  const named = extensionProvider(config, name);
  if (named === undefined) return builtIn(config, name);
  if (named["prometheus"] !== undefined) return { kind: "prometheus" };
  const file = named["envoyFileAccessLog"];
  if (logServiceKinds.some((kind) => named[kind] !== undefined)) return { kind: "service", provider: named };
  return file === undefined
    ? { kind: "other" }
    : { kind: "file", settings: fileSettings(config, name, fieldsOf(file)) };
}

/** As mesh configuration has it; undefined when it has none of the name. */
export function extensionProvider(config: MeshConfig, name: string): Fields | undefined {
  return list(config.rest["extensionProviders"]).find((item) => item["name"] === name);
}

function builtIn(config: MeshConfig, name: string): TelemetryProvider | undefined {
  if (name === "prometheus") return { kind: "prometheus" };
  if (name === "stackdriver") return { kind: "other" };
  return name === builtInLog ? { kind: "file", settings: { ...config, accessLogFile: "/dev/stdout" } } : undefined;
}

const builtInLog = "envoy";

/** Without a format of its own the built-in provider takes the mesh's, every other one Istio's default. */
function fileSettings(config: MeshConfig, name: string, file: Fields): AccessLogSettings {
  const path = text(file["path"]) || "/dev/stdout";
  const format = fieldsOf(file["logFormat"]);
  const omitEmptyValues = file["omitEmptyValues"] === true;
  if (format["labels"] !== undefined) {
    const labels = JSON.stringify(format["labels"]);
    return { accessLogFile: path, accessLogFormat: labels, accessLogEncoding: "JSON", omitEmptyValues };
  }
  if (format["text"] === undefined && name === builtInLog) return { ...config, accessLogFile: path, omitEmptyValues };
  const accessLogFormat = text(format["text"]);
  return { accessLogFile: path, accessLogFormat, accessLogEncoding: "TEXT", omitEmptyValues };
}

/** `defaultProviders` of mesh configuration. */
export function defaultProviders(config: MeshConfig, kind: "accessLogging" | "metrics" | "tracing"): readonly string[] {
  const names = fieldsOf(config.rest["defaultProviders"])[kind];
  return Array.isArray(names) ? names.filter((name) => typeof name === "string") : [];
}
