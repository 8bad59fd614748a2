// A request for a resource, taken apart: what the verbs work on.

import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import type { CatalogEntry } from "#mesh/catalog.ts";
import type { KubernetesObject, ObjectMeta } from "#mesh/objects/kubernetes-object.ts";
import type { Admission } from "../admission/admission.ts";
import type { WriteContext } from "../admission/attributes.ts";
import { apiError } from "../store/errors.ts";
import { asRecord, isRecord, type JsonRecord } from "../store/json.ts";
import { formatResource } from "../store/resources.ts";
import type { ObjectStore } from "../store/store.ts";
import type { TokenAuthority } from "../tokens/token-authority.ts";
import { addWarning, type Exchange } from "./exchange.ts";
import type { NodeServices } from "./options.ts";
import type { ResourceRegistry } from "./registry.ts";
import type { ResourcePath } from "./request-path.ts";

/** What the server consists of. */
export interface ApiContext {
  readonly store: ObjectStore;
  readonly registry: ResourceRegistry;
  readonly admission: Admission;
  readonly tokens: TokenAuthority;
  readonly node: NodeServices;
  readonly log: Logger;
  readonly clock: Clock;
}

export interface ResourceCall {
  readonly context: ApiContext;
  readonly exchange: Exchange;
  readonly path: ResourcePath;
  readonly entry: CatalogEntry;
}

export function apiVersionOf(entry: CatalogEntry, version: string): string {
  return entry.group === "" ? version : `${entry.group}/${version}`;
}

/** The object as the version of the request shows it. All versions of a kind have the same fields. */
export function shown(call: ResourceCall, object: KubernetesObject): KubernetesObject {
  const apiVersion = apiVersionOf(call.entry, call.path.version);
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}

/** An object that a client sent, in the storage version; BAD_REQUEST when it is not what the path says. */
export function received(call: ResourceCall, body: JsonRecord): KubernetesObject {
  const { entry, path } = call;
  const expected = apiVersionOf(entry, path.version);
  if (body["kind"] !== entry.kind || body["apiVersion"] !== expected) {
    const found = `${String(body["apiVersion"])}, ${String(body["kind"])}`;
    throw apiError("BAD_REQUEST", `the object (${found}) does not match the path (${expected}, ${entry.kind})`);
  }
  const { managedFields: _, ...metadata } = asRecord(body["metadata"]);
  if (body["metadata"] !== undefined && !isRecord(body["metadata"]))
    throw apiError("BAD_REQUEST", "metadata must be an object");
  for (const field of ["name", "namespace", "generateName", "uid", "resourceVersion"]) {
    const value = metadata[field];
    if (value !== undefined && typeof value !== "string")
      throw apiError("BAD_REQUEST", `metadata.${field} must be a string`);
  }
  const name = String(metadata["name"] ?? "");
  if (path.name !== "" && name !== path.name) {
    throw apiError("BAD_REQUEST", `the name of the object (${name}) does not match the name on the URL (${path.name})`);
  }
  const namespace = metadata["namespace"] ?? path.namespace;
  if (namespace !== path.namespace) {
    throw apiError(
      "BAD_REQUEST",
      "the namespace of the provided object does not match the namespace sent on the request",
    );
  }
  return {
    ...body,
    apiVersion: storageVersion(call),
    kind: entry.kind,
    metadata: { ...metadata, name, ...(path.namespace === "" ? {} : { namespace }) } as ObjectMeta,
  };
}

export function storageVersion(call: ResourceCall): string {
  return apiVersionOf(call.entry, call.entry.versions[0] ?? call.path.version);
}

/** How the request writes; `ifVersion` is the version that it wants to find. */
export function writeContext(call: ResourceCall, ifVersion?: unknown): WriteContext {
  const { exchange, path } = call;
  return {
    user: exchange.user,
    version: path.version,
    dryRun: exchange.url.searchParams.getAll("dryRun").includes("All"),
    ...(typeof ifVersion === "string" ? { ifVersion } : {}),
    ...(path.subresource === "" ? {} : { subresource: path.subresource }),
    onWarning: (warning) => addWarning(exchange.response, warning),
  };
}

/** The stored object that the path names. */
export function named(call: ResourceCall): KubernetesObject {
  const { context, entry, path } = call;
  const object = context.store.get(entry, path.namespace, path.name);
  if (object === undefined) throw apiError("NOT_FOUND", `${formatResource(entry)} "${path.name}" not found`);
  return object;
}
