// Metadata of compiled resources: Istio's own (`istio`), and where the configuration was written (`outrigger`).
import { create, type JsonObject } from "@bufbuild/protobuf";
import type { Origin } from "#base/issue.ts";
import { type Metadata, MetadataSchema } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { encodeProvenance, type PolicyOrigin, provenanceKey } from "#wire/xds/provenance.ts";
import type { Service } from "../snapshot/service.ts";
import { configPath } from "./names.ts";

export interface MetadataContent {
  readonly istio?: JsonObject;
  readonly origins: readonly Origin[];
  /** Why traffic ends up here, where the resource does not show it. */
  readonly note?: string | undefined;
  /** RBAC policy name → where it was written; for filter chains. */
  readonly policies?: ReadonlyMap<string, PolicyOrigin>;
}

export function resourceMetadata(content: MetadataContent): Metadata {
  const filterMetadata: Record<string, JsonObject> = {};
  if (content.istio !== undefined) filterMetadata["istio"] = content.istio;
  const { origins, note = "", policies = new Map() } = content;
  if (origins.length > 0 || note !== "" || policies.size > 0) {
    filterMetadata[provenanceKey] = encodeProvenance({ origins, note, policies });
  }
  return create(MetadataSchema, { filterMetadata });
}

/** `istio.config` of a resource made from an object: the path that Istio's telemetry and tools know. */
export function configOf(object: { readonly kind: string; readonly namespace: string; readonly name: string }): string {
  const kind = object.kind.replace(/(?<=[a-z])[A-Z]/g, (capital) => `-${capital}`).toLowerCase();
  return configPath(kind, object.namespace, object.name);
}

/** `istio.services`: what metrics call the destination. */
export function servicesOf(service: Service): JsonObject[] {
  return [{ host: service.hostname, name: service.name, namespace: service.namespace }];
}
