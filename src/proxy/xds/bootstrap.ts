// An Envoy bootstrap with static resources (JSON or YAML), for a proxy without a control plane. Its listeners, clusters
// and secrets go the same way as those from ADS. Parts that a static proxy has no use for are ignored.

import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { create, fromJson, type JsonObject, type JsonValue, toJson } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { describeError, OutriggerError } from "#base/error.ts";
import { Severity } from "#base/issue.ts";
import type { Logger } from "#base/log/log.ts";
import { type Bootstrap, BootstrapSchema } from "#wire/gen/envoy/config/bootstrap/v3/bootstrap_pb.ts";
import { ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { DataSource } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { readTlsCertificate } from "#wire/tls/read-certificate.ts";
import type { SecretStore } from "#wire/tls/secrets.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { decodeOverload } from "../config/decode-overload.ts";
import { decodeTracer } from "../config/decode-tracing.ts";
import { type LocalNode, localNode } from "../config/local-node.ts";
import type { OverloadConfig } from "../config/overload.ts";
import { inlineText } from "../config/parse/values.ts";
import { nackText, Problems } from "../config/problems.ts";
import { anyRegistry } from "./any-registry.ts";
import type { Configuration } from "./configuration.ts";
import type { OwnTracer } from "./own-tracer.ts";

/** Reads and parses a bootstrap file; paths in it are relative to it. */
export async function readBootstrap(path: string): Promise<Bootstrap> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new OutriggerError("BOOTSTRAP_UNREADABLE", `${path} is not readable`, { cause });
  }
  return parseBootstrap(text, path);
}

/** Unknown fields are an error: a misspelt one would be a setting that is not in force. */
async function parseBootstrap(text: string, path: string): Promise<Bootstrap> {
  try {
    return fromJson(BootstrapSchema, (await parseText(text)) as JsonValue, { registry: anyRegistry() });
  } catch (cause) {
    throw new OutriggerError("BOOTSTRAP_INVALID", `${path} is not an Envoy bootstrap: ${describeError(cause)}`, {
      cause,
    });
  }
}

/** JSON is YAML too, but its own parser is a hundred times faster, and a sidecar need not load the other. */
async function parseText(text: string): Promise<unknown> {
  if (text.trimStart().startsWith("{")) {
    try {
      return JSON.parse(text);
    } catch {
      // YAML's flow style begins like JSON.
    }
  }
  return (await import("yaml")).parse(text);
}

/** The bootstrap as the admin API shows it: without its resources, which are shown by type, and without secrets. */
export function bootstrapJson(bootstrap: Bootstrap): JsonObject {
  const { node, admin } = bootstrap;
  const shown = create(BootstrapSchema, { ...(node && { node }), ...(admin && { admin }) });
  return toJson(BootstrapSchema, shown, { registry: anyRegistry(), useProtoFieldName: true }) as JsonObject;
}

/** What protects the proxy from too much work; warnings go to the log, errors are thrown. */
export function overloadOf({ overloadManager }: Bootstrap, path: string, log: Logger): OverloadConfig {
  const { value, issues } = decodeOverload(overloadManager);
  if (value === null) throw new OutriggerError("BOOTSTRAP_INVALID", `${path}: ${nackText(issues)}`);
  for (const { path: field, message } of issues) log.warn(`overload_manager: ${field ?? ""}: ${message}`);
  return value;
}

/** The tracer of listeners whose tracing names none; throws what is wrong with it. */
export function tracerOf({ tracing }: Bootstrap, path: string, log: Logger): OwnTracer | null {
  if (tracing?.http === undefined) return null;
  const problems = new Problems("bootstrap", path);
  const { value, issues } = problems.done(decodeTracer(tracing.http, "tracing.http", problems));
  if (value === null && issues.some(({ severity }) => severity === Severity.Error)) {
    throw new OutriggerError("BOOTSTRAP_INVALID", nackText(issues));
  }
  for (const { path: field, message } of issues) log.warn(`${field ?? ""}: ${message}`);
  return value === null ? null : { tracer: value, cluster: null };
}

/** The cluster that the proxy itself is in (`cluster_manager.local_cluster_name`); null: it names none. */
export function localNodeOf({ clusterManager, node }: Bootstrap): LocalNode | null {
  const name = clusterManager?.localClusterName ?? "";
  const { locality, metadata = {} } = node ?? {};
  return name === ""
    ? null
    : localNode(name, { locality: { region: "", zone: "", subZone: "", ...locality }, metadata });
}

/** Puts secrets into the store and resources into the configuration; throws what is wrong with any of them. */
export function applyBootstrap(
  bootstrap: Bootstrap,
  path: string,
  secrets: SecretStore,
  configuration: Configuration,
): void {
  const resources = bootstrap.staticResources;
  for (const secret of resources?.secrets ?? []) {
    if (secret.type.case === "tlsCertificate") {
      const chain = readSource(secret.type.value.certificateChain, path);
      const key = readSource(secret.type.value.privateKey, path);
      const certificate = readTlsCertificate(chain, key);
      if (typeof certificate === "string") {
        throw new OutriggerError("BOOTSTRAP_INVALID", `the secret ${secret.name} ${certificate}`);
      }
      secrets.setCertificate(secret.name, certificate);
    } else if (secret.type.case === "validationContext") {
      secrets.setTrustedRoots(secret.name, readSource(secret.type.value.trustedCa, path));
    }
  }
  const refusals = [
    ...configuration
      .accept({
        typeUrl: typeUrl.cluster,
        version: "static",
        added: (resources?.clusters ?? []).map((cluster) => ({
          name: cluster.name,
          version: "static",
          resource: anyPack(ClusterSchema, cluster),
        })),
        removed: [],
      })
      .values(),
    ...configuration
      .accept({
        typeUrl: typeUrl.listener,
        version: "static",
        added: (resources?.listeners ?? []).map((listener) => ({
          name: listener.name,
          version: "static",
          resource: anyPack(ListenerSchema, listener),
        })),
        removed: [],
      })
      .values(),
  ];
  if (refusals.length > 0) throw new OutriggerError("BOOTSTRAP_INVALID", `${path}: ${refusals.join("; ")}`);
}

function readSource(source: DataSource | undefined, path: string): string {
  const inline = inlineText(source);
  if (inline !== undefined) return inline;
  if (source?.specifier.case !== "filename") return "";
  return readFileSync(resolve(dirname(path), source.specifier.value), "utf8");
}
