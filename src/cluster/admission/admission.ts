// Every write that does not come from the node itself goes through here: defaults, mutating webhooks, defaults again,
// validation, validating webhooks, and then, in one turn, what must be unique and the store.

import { hasCode } from "#base/error.ts";
import type { Logger } from "#base/log/log.ts";
import type { CatalogEntry } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { apiError } from "../store/errors.ts";
import { formatResource, namespaces } from "../store/resources.ts";
import type { DeleteOptions, ObjectStore } from "../store/store.ts";
import { type Attributes, isStatusSubresource, type WriteContext } from "./attributes.ts";
import { applyDefaults } from "./defaults/defaults.ts";
import { withServiceAccountToken } from "./service-account.ts";
import { withServiceAddresses } from "./service-addresses.ts";
import { validateObject } from "./validate/validate.ts";
import { webhookAgent } from "./webhooks/call.ts";
import { runMutatingWebhooks, runValidatingWebhooks, type WebhookRunner } from "./webhooks/run.ts";

/**
 * Makes the next object from the stored one; called again when the stored one has changed meanwhile. The result's
 * resource version is not looked at: `ifVersion` of the context is the precondition.
 */
type Change = (stored: KubernetesObject) => KubernetesObject;

/** Throws what `apiErrors` lists. All objects are in the storage version. */
export interface Admission {
  create(entry: CatalogEntry, object: KubernetesObject, context: WriteContext): Promise<KubernetesObject>;
  update(
    entry: CatalogEntry,
    namespace: string,
    name: string,
    change: Change,
    context: WriteContext,
  ): Promise<KubernetesObject>;
  delete(
    entry: CatalogEntry,
    namespace: string,
    name: string,
    options: DeleteOptions,
    context: WriteContext,
  ): Promise<KubernetesObject>;
  /** Closes the connections to webhooks. */
  close(): void;
}

const maxConflicts = 8;

export function createAdmission(options: { readonly store: ObjectStore; readonly log: Logger }): Admission {
  const runner: WebhookRunner = { store: options.store, log: options.log, agent: webhookAgent() };
  return {
    create: (entry, object, context) => create(runner, entry, object, context),
    update: (entry, namespace, name, change, context) => update(runner, { entry, namespace, name, ...context }, change),
    delete: (entry, namespace, name, deletion, context) =>
      remove(runner, { entry, namespace, name, ...context }, deletion),
    close: () => runner.agent.destroy(),
  };
}

async function create(
  runner: WebhookRunner,
  entry: CatalogEntry,
  given: KubernetesObject,
  context: WriteContext,
): Promise<KubernetesObject> {
  const { store } = runner;
  const { name = "", namespace = "" } = given.metadata;
  checkNamespace(store, entry, namespace);
  const request: Request = { entry, name, namespace, ...context };
  const object = await admit(runner, request, "CREATE", given, undefined);
  checkNamespace(store, entry, namespace);
  const final = entry.plural === "services" && entry.group === "" ? withServiceAddresses(store, object) : object;
  return context.dryRun === true ? dryCreate(store, entry, final) : store.create(entry, final);
}

/** One write without what differs between the operations. */
type Request = WriteContext & Pick<Attributes, "entry" | "namespace" | "name">;

async function update(runner: WebhookRunner, request: Request, change: Change): Promise<KubernetesObject> {
  const { store } = runner;
  const { entry } = request;
  for (let attempt = 1; ; attempt++) {
    const stored = existing(store, request);
    checkVersion(stored, request);
    const given = change(stored);
    const isStatus = isStatusSubresource(request.subresource);
    const object = await admit(runner, request, "UPDATE", given, stored);
    // What was admitted is a change of the object that was read: it may only be written over that one.
    const versioned = withVersion(object, stored.metadata.resourceVersion);
    if (request.dryRun === true) return versioned;
    try {
      if (isStatus) return store.updateStatus(entry, versioned);
      const isService = entry.plural === "services" && entry.group === "";
      return store.update(entry, isService ? withServiceAddresses(store, versioned) : versioned);
    } catch (error) {
      if (!hasCode(error, "CONFLICT") || attempt >= maxConflicts) throw error;
    }
  }
}

async function remove(runner: WebhookRunner, request: Request, options: DeleteOptions): Promise<KubernetesObject> {
  const stored = existing(runner.store, request);
  await runValidatingWebhooks(runner, { ...request, operation: "DELETE", oldObject: stored });
  if (request.dryRun === true) return stored;
  return runner.store.delete(request.entry, request.namespace, request.name, options);
}

async function admit(
  runner: WebhookRunner,
  request: Request,
  operation: "CREATE" | "UPDATE",
  given: KubernetesObject,
  stored: KubernetesObject | undefined,
): Promise<KubernetesObject> {
  const { entry } = request;
  const old = stored === undefined ? {} : { oldObject: stored };
  const isStatus = isStatusSubresource(request.subresource);
  const complete = (object: KubernetesObject): KubernetesObject =>
    isStatus ? object : withBuiltIns(runner.store, entry, object, stored);
  const attributes: Attributes = { ...request, ...old, operation, object: complete(given) };
  const mutated = await runMutatingWebhooks(runner, attributes);
  const object = mutated === attributes.object ? mutated : complete(mutated);
  if (!isStatus) validateObject(entry, object, stored);
  await runValidatingWebhooks(runner, { ...attributes, object });
  return object;
}

/** Defaults and Kubernetes' own mutating admission; run again after webhooks. */
function withBuiltIns(
  store: ObjectStore,
  entry: CatalogEntry,
  given: KubernetesObject,
  stored: KubernetesObject | undefined,
): KubernetesObject {
  const object = applyDefaults(entry, given, stored);
  const isNewPod = entry.plural === "pods" && entry.group === "" && stored === undefined;
  return isNewPod ? withServiceAccountToken(store, object) : object;
}

function checkNamespace(store: ObjectStore, entry: CatalogEntry, namespace: string): void {
  if (!entry.namespaced) return;
  const found = store.get(namespaces, "", namespace);
  if (found === undefined) throw apiError("NOT_FOUND", `namespaces "${namespace}" not found`);
  if (found.metadata.deletionTimestamp !== undefined) {
    throw apiError(
      "FORBIDDEN",
      `unable to create new content in namespace ${namespace} because it is being terminated`,
    );
  }
}

function existing(store: ObjectStore, { entry, namespace, name }: Request): KubernetesObject {
  const stored = store.get(entry, namespace, name);
  if (stored !== undefined) return stored;
  throw apiError("NOT_FOUND", `${formatResource(entry)} "${name}" not found`);
}

function checkVersion(stored: KubernetesObject, { entry, ifVersion }: Request): void {
  if (!ifVersion || ifVersion === stored.metadata.resourceVersion) return;
  throw apiError(
    "CONFLICT",
    `Operation cannot be fulfilled on ${formatResource(entry)} "${stored.metadata.name}": the object has been modified; please apply your changes to the latest version and try again`,
  );
}

function dryCreate(store: ObjectStore, entry: CatalogEntry, object: KubernetesObject): KubernetesObject {
  const { name, namespace = "", generateName = "" } = object.metadata;
  if (name && store.get(entry, namespace, name) !== undefined) {
    throw apiError("ALREADY_EXISTS", `${entry.plural} "${name}" already exists`);
  }
  return { ...object, metadata: { ...object.metadata, name: name || `${generateName}xxxxx` } };
}

function withVersion(object: KubernetesObject, resourceVersion: string | undefined): KubernetesObject {
  if (resourceVersion === undefined) return object;
  return { ...object, metadata: { ...object.metadata, resourceVersion } };
}
