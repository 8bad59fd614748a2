// delete and deletecollection, with grace, preconditions and what happens to what the object owned.

import { hasCode } from "#base/error.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { WriteContext } from "../../admission/attributes.ts";
import { fieldAt, type JsonRecord } from "../../store/json.ts";
import type { DeleteOptions, ObjectStore } from "../../store/store.ts";
import { apiVersionOf, named, type ResourceCall, shown, writeContext } from "../call.ts";
import { readBody, sendJson } from "../exchange.ts";
import { successStatus } from "../status-object.ts";
import { listOptions } from "./read.ts";

export async function remove(call: ResourceCall): Promise<void> {
  const { context, exchange, entry, path } = call;
  const body = await readBody(exchange.request);
  const { searchParams } = exchange.url;
  if (isOrphaning(searchParams, body)) orphanDependents(context.store, named(call));
  const options = deleteOptions(searchParams, body);
  const write = deleteContext(call, body);
  const last = await context.admission.delete(entry, path.namespace, path.name, options, write);
  const isStillThere = context.store.get(entry, path.namespace, path.name)?.metadata.uid === last.metadata.uid;
  if (isStillThere) sendJson(exchange.response, write.dryRun === true ? 200 : 202, shown(call, last));
  else sendJson(exchange.response, 200, successStatus(entry, last));
}

export async function removeCollection(call: ResourceCall): Promise<void> {
  const { context, exchange, entry, path } = call;
  const body = await readBody(exchange.request);
  const options = deleteOptions(exchange.url.searchParams, body);
  const found = context.store.list(entry, listOptions(call));
  const removed: KubernetesObject[] = [];
  for (const object of found.items) {
    if (isOrphaning(exchange.url.searchParams, body)) orphanDependents(context.store, object);
    const { name, namespace = "" } = object.metadata;
    try {
      removed.push(await context.admission.delete(entry, namespace, name, options, deleteContext(call, body)));
    } catch (error) {
      if (!hasCode(error, "NOT_FOUND")) throw error;
    }
  }
  const apiVersion = apiVersionOf(entry, path.version);
  const metadata = { resourceVersion: context.store.resourceVersion };
  const items = removed.map((object) => shown(call, object));
  sendJson(exchange.response, 200, { kind: `${entry.kind}List`, apiVersion, metadata, items });
}

function deleteContext(call: ResourceCall, body: unknown): WriteContext {
  const context = writeContext(call);
  const dryRun = fieldAt(body, "dryRun");
  return Array.isArray(dryRun) && dryRun.includes("All") ? { ...context, dryRun: true } : context;
}

function deleteOptions(query: URLSearchParams, body: unknown): DeleteOptions {
  const grace = fieldAt(body, "gracePeriodSeconds") ?? query.get("gracePeriodSeconds") ?? undefined;
  const uid = fieldAt(body, "preconditions", "uid");
  const resourceVersion = fieldAt(body, "preconditions", "resourceVersion");
  return {
    ...(grace === undefined || !Number.isSafeInteger(Number(grace)) ? {} : { gracePeriodSeconds: Number(grace) }),
    ...(typeof uid === "string" ? { uid } : {}),
    ...(typeof resourceVersion === "string" ? { resourceVersion } : {}),
  };
}

function isOrphaning(query: URLSearchParams, body: unknown): boolean {
  const policy = fieldAt(body, "propagationPolicy") ?? query.get("propagationPolicy");
  return policy === "Orphan" || fieldAt(body, "orphanDependents") === true;
}

/** Takes the owner off everything that it owns, before it goes. */
function orphanDependents(store: ObjectStore, owner: KubernetesObject): void {
  const uid = owner.metadata.uid;
  const namespace = owner.metadata.namespace ?? "";
  for (const resource of store.resources()) {
    for (const object of store.list(resource, { namespace }).items) {
      const references = object.metadata.ownerReferences ?? [];
      const kept = references.filter((reference) => reference.uid !== uid);
      if (kept.length === references.length) continue;
      const patch: JsonRecord = { metadata: { ownerReferences: kept.length === 0 ? null : kept } };
      store.patch(resource, object.metadata.namespace ?? "", object.metadata.name, patch);
    }
  }
}
