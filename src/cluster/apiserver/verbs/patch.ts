// patch in its four forms: merge, JSON, strategic merge, apply.

import { hasCode } from "#base/error.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { isStatusSubresource } from "../../admission/attributes.ts";
import { apiError } from "../../store/errors.ts";
import { asRecord, fieldAt, isRecord, type JsonRecord, mergePatch } from "../../store/json.ts";
import { applyJsonPatch } from "../../store/json-patch.ts";
import { apiVersionOf, type ResourceCall, received, shown, storageVersion, writeContext } from "../call.ts";
import { guarded } from "../certificates/guard.ts";
import { contentType, readBody, sendJson } from "../exchange.ts";
import { applyConfiguration } from "../patch/apply.ts";
import { applyStrategicMerge } from "../patch/strategic-merge.ts";
import { authorize } from "../rbac/authorize.ts";
import { checkEscalation } from "../rbac/escalation.ts";

const forms: Readonly<Record<string, (kind: string, target: JsonRecord, patch: unknown) => unknown>> = {
  "application/merge-patch+json": (_, target, patch) => mergePatch(target, recordOf(patch)),
  "application/strategic-merge-patch+json": (kind, target, patch) => applyStrategicMerge(kind, target, recordOf(patch)),
  "application/json-patch+json": (_, target, patch) => applyJsonPatch(target, patch),
};

export async function patch(call: ResourceCall): Promise<void> {
  const { context, exchange, entry, path } = call;
  const type = contentType(exchange.request);
  if (type === "application/apply-patch+yaml" || type === "application/apply-patch+json") return apply(call);
  const form = forms[type];
  if (form === undefined) throw apiError("UNSUPPORTED_MEDIA_TYPE", `${type} is not a form of patch`);
  const body = await readBody(exchange.request);
  const change = (stored: KubernetesObject): KubernetesObject =>
    patched(call, stored, form(entry.kind, shown(call, stored), body));
  // Only a version that the patch itself names is a precondition.
  const write = writeContext(call, fieldAt(body, "metadata", "resourceVersion"));
  const updated = await context.admission.update(entry, path.namespace, path.name, change, write);
  sendJson(exchange.response, 200, shown(call, updated));
}

async function apply(call: ResourceCall): Promise<void> {
  const { context, exchange, entry, path } = call;
  const query = exchange.url.searchParams;
  const manager = query.get("fieldManager") ?? "";
  if (manager === "") throw apiError("BAD_REQUEST", "fieldManager is required for apply patch");
  const time = `${new Date(context.clock.now()).toISOString().slice(0, 19)}Z`;
  const options = { manager, force: query.get("force") === "true", time };
  const body = recordOf(await readBody(exchange.request));
  const configuration = received(call, { ...body, metadata: { name: path.name, ...asRecord(body["metadata"]) } });
  if (isStatusSubresource(path.subresource)) return applyStatus(call, configuration);
  checkEscalation(context.store, exchange.user, entry, configuration);
  const { status: _, ...rest } = configuration;
  const wanted: KubernetesObject = {
    ...rest,
    apiVersion: configuration.apiVersion,
    kind: entry.kind,
    metadata: configuration.metadata,
  };
  for (let attempt = 0; ; attempt++) {
    try {
      const isNew = context.store.get(entry, path.namespace, path.name) === undefined;
      if (isNew) authorize(context.store, exchange.user, "create", path, "");
      const object = isNew
        ? await context.admission.create(
            entry,
            guarded(call, applyConfiguration(undefined, wanted, options)),
            writeContext(call),
          )
        : await context.admission.update(
            entry,
            path.namespace,
            path.name,
            (stored) => guarded(call, applyConfiguration(stored, wanted, options), stored),
            writeContext(call, configuration.metadata.resourceVersion),
          );
      sendJson(exchange.response, isNew ? 201 : 200, shown(call, object));
      return;
    } catch (error) {
      // Somebody else made or removed it in the meantime: then it is the other case.
      const isRace = hasCode(error, "ALREADY_EXISTS") || hasCode(error, "NOT_FOUND");
      const exists = context.store.get(entry, path.namespace, path.name) !== undefined;
      if (!isRace || attempt > 0 || exists !== hasCode(error, "ALREADY_EXISTS")) throw error;
    }
  }
}

/** A status that is applied is merged in; nobody owns its fields. */
async function applyStatus(call: ResourceCall, configuration: KubernetesObject): Promise<void> {
  const { context, exchange, entry, path } = call;
  const change = (stored: KubernetesObject): KubernetesObject => {
    const status = mergePatch(stored["status"], asRecord(configuration["status"]));
    return guarded(call, { ...stored, status }, stored);
  };
  const updated = await context.admission.update(entry, path.namespace, path.name, change, writeContext(call));
  sendJson(exchange.response, 200, shown(call, updated));
}

/** The result of a patch as an object that may be written over the stored one. */
function patched(call: ResourceCall, stored: KubernetesObject, result: unknown): KubernetesObject {
  if (!isRecord(result) || !isRecord(result["metadata"])) throw apiError("INVALID", "the patch leaves no object");
  const { entry, path, context, exchange } = call;
  if (result["kind"] !== entry.kind || result["apiVersion"] !== apiVersionOf(entry, path.version)) {
    throw apiError("INVALID", "a patch may not change the kind or the version of an object");
  }
  if (
    result["metadata"]["name"] !== stored.metadata.name ||
    result["metadata"]["namespace"] !== stored.metadata.namespace
  ) {
    throw apiError("INVALID", "metadata.name: field is immutable");
  }
  const object: KubernetesObject = {
    ...result,
    apiVersion: storageVersion(call),
    kind: entry.kind,
    metadata: { ...result["metadata"], name: stored.metadata.name },
  };
  checkEscalation(context.store, exchange.user, entry, object);
  const isStatus = isStatusSubresource(path.subresource);
  return guarded(call, isStatus ? { ...stored, status: object["status"] } : object, stored);
}

function recordOf(body: unknown): JsonRecord {
  if (!isRecord(body)) throw apiError("BAD_REQUEST", "the body of the patch is not an object");
  return body;
}
