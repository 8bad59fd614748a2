// The scale of Deployments, ReplicaSets and StatefulSets (autoscaling/v1).

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { apiError } from "../../store/errors.ts";
import { asRecord, fieldAt, isRecord, type JsonRecord, mergePatch } from "../../store/json.ts";
import { applyJsonPatch } from "../../store/json-patch.ts";
import { named, type ResourceCall, writeContext } from "../call.ts";
import { contentType, readBody, sendJson } from "../exchange.ts";

export async function scale(call: ResourceCall): Promise<void> {
  const { context, exchange, entry, path } = call;
  if (exchange.request.method === "GET") return sendJson(exchange.response, 200, scaleOf(named(call)));
  const body = await readBody(exchange.request);
  const { subresource: _, ...write } = writeContext(call, fieldAt(body, "metadata", "resourceVersion"));
  const updated = await context.admission.update(
    entry,
    path.namespace,
    path.name,
    (stored) => ({ ...stored, spec: { ...asRecord(stored["spec"]), replicas: wantedReplicas(call, stored, body) } }),
    write,
  );
  sendJson(exchange.response, 200, scaleOf(updated));
}

function wantedReplicas(call: ResourceCall, stored: KubernetesObject, body: unknown): number {
  const { request } = call.exchange;
  let wanted = body;
  if (request.method === "PATCH") {
    const isJsonPatch = contentType(request) === "application/json-patch+json";
    if (!isJsonPatch && !isRecord(body)) throw apiError("BAD_REQUEST", "the body of the patch is not an object");
    wanted = isJsonPatch ? applyJsonPatch(scaleOf(stored), body) : mergePatch(scaleOf(stored), body);
  }
  const replicas = fieldAt(wanted, "spec", "replicas") ?? 0;
  if (typeof replicas !== "number" || !Number.isInteger(replicas) || replicas < 0) {
    throw apiError(
      "INVALID",
      `spec.replicas: Invalid value: ${JSON.stringify(replicas)}: must be a whole number from 0`,
    );
  }
  return replicas;
}

function scaleOf(object: KubernetesObject): JsonRecord {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const labels = asRecord(fieldAt(object, "spec", "selector", "matchLabels"));
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: fieldAt(object, "spec", "replicas") ?? 0 },
    status: {
      replicas: fieldAt(object, "status", "replicas") ?? 0,
      selector: Object.entries(labels)
        .map(([key, value]) => `${key}=${String(value)}`)
        .join(","),
    },
  };
}
