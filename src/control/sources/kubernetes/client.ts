// A lean Kubernetes client: get, list, create, update, patch, apply, delete and one watch stream, for any kind of the
// catalog. Answers of the API server become objects or OutriggerErrors with the codes of `control/errors.ts`.
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { OutriggerError } from "#base/error.ts";
import { type CatalogEntry, findKind } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { ApiConnection, type ApiRequest, type ApiServerAddress } from "./connection.ts";
import { readWatchEvents, type WatchEvent } from "./watch-stream.ts";

export interface Selection {
  /** All namespaces when absent. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface ObjectList {
  readonly items: readonly KubernetesObject[];
  readonly resourceVersion: string;
}

export interface WatchOptions extends Selection {
  readonly resourceVersion: string;
  /** The server ends the stream after this; the caller resumes. */
  readonly timeoutSeconds?: number;
  readonly signal?: AbortSignal;
}

export interface ObjectKey {
  readonly name: string;
  readonly namespace?: string;
}

export type PatchType = "merge" | "json" | "strategic";

const patchContentType = {
  merge: "application/merge-patch+json",
  json: "application/json-patch+json",
  strategic: "application/strategic-merge-patch+json",
} as const;

const pageSize = 500;

export class KubernetesClient {
  readonly #connection: ApiConnection;

  constructor(address: ApiServerAddress) {
    this.#connection = new ApiConnection(address);
  }

  get(kind: CatalogEntry, key: ObjectKey): Promise<KubernetesObject> {
    return this.#object({ method: "GET", path: objectPath(kind, key) });
  }

  /** Like `get`, but undefined when there is no such object. */
  async find(kind: CatalogEntry, key: ObjectKey): Promise<KubernetesObject | undefined> {
    try {
      return await this.get(kind, key);
    } catch (error) {
      if (error instanceof OutriggerError && error.code === "API_NOT_FOUND") return undefined;
      throw error;
    }
  }

  /** Reads the whole list, page by page. */
  async list(kind: CatalogEntry, selection: Selection = {}): Promise<ObjectList> {
    const items: KubernetesObject[] = [];
    let token: string | undefined;
    let resourceVersion = "";
    do {
      const query = { ...selectionQuery(selection), limit: String(pageSize), ...(token && { continue: token }) };
      const page = await this.#json({ method: "GET", path: collectionPath(kind, selection.namespace, query) });
      const list = page as { items?: KubernetesObject[]; metadata?: { resourceVersion?: string; continue?: string } };
      // Items of a list come without apiVersion and kind.
      for (const item of list.items ?? []) items.push(withKind(kind, item));
      resourceVersion = list.metadata?.resourceVersion ?? "";
      token = list.metadata?.continue;
    } while (token !== undefined && token !== "");
    return { items, resourceVersion };
  }

  create(kind: CatalogEntry, object: KubernetesObject): Promise<KubernetesObject> {
    const path = collectionPath(kind, kind.namespaced ? (object.metadata.namespace ?? "default") : undefined);
    return this.#object({ method: "POST", path, body: object });
  }

  /** Replaces the object; throws API_CONFLICT when its resourceVersion is no longer the stored one. */
  update(kind: CatalogEntry, object: KubernetesObject): Promise<KubernetesObject> {
    return this.#object({ method: "PUT", path: objectPath(kind, object.metadata), body: object });
  }

  updateStatus(kind: CatalogEntry, object: KubernetesObject): Promise<KubernetesObject> {
    return this.#object({ method: "PUT", path: `${objectPath(kind, object.metadata)}/status`, body: object });
  }

  patch(
    kind: CatalogEntry,
    key: ObjectKey,
    patch: unknown,
    options: { readonly type?: PatchType; readonly subresource?: string } = {},
  ): Promise<KubernetesObject> {
    const suffix = options.subresource === undefined ? "" : `/${options.subresource}`;
    return this.#object({
      method: "PATCH",
      path: `${objectPath(kind, key)}${suffix}`,
      body: patch,
      contentType: patchContentType[options.type ?? "merge"],
    });
  }

  /** Server-side apply: creates the object or changes the fields that it names. */
  apply(object: KubernetesObject, options: { fieldManager: string; force?: boolean }): Promise<KubernetesObject> {
    const kind = findKind(object.apiVersion, object.kind);
    if (kind === undefined) {
      throw new OutriggerError("API_INVALID", `${object.apiVersion} ${object.kind} is not a kind that is served here`);
    }
    const key =
      kind.namespaced && !object.metadata.namespace ? { ...object.metadata, namespace: "default" } : object.metadata;
    const query = new URLSearchParams({ fieldManager: options.fieldManager, force: String(options.force ?? true) });
    return this.#object({
      method: "PATCH",
      path: `${objectPath(kind, key, object.apiVersion)}?${query}`,
      body: object,
      contentType: "application/apply-patch+yaml",
    });
  }

  /** Deletes the object; an absent one counts as deleted. */
  async delete(kind: CatalogEntry, key: ObjectKey, options: { gracePeriodSeconds?: number } = {}): Promise<void> {
    const { gracePeriodSeconds } = options;
    const query = gracePeriodSeconds === undefined ? "" : `?gracePeriodSeconds=${gracePeriodSeconds}`;
    try {
      await this.#json({ method: "DELETE", path: `${objectPath(kind, key)}${query}` });
    } catch (error) {
      if (!(error instanceof OutriggerError && error.code === "API_NOT_FOUND")) throw error;
    }
  }

  /** The events after a resource version, until the server or the signal ends the stream. Throws API_GONE when too old. */
  async *watch(kind: CatalogEntry, options: WatchOptions): AsyncGenerator<WatchEvent, void> {
    const query = {
      ...selectionQuery(options),
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion: options.resourceVersion,
      timeoutSeconds: String(options.timeoutSeconds ?? 300),
    };
    const path = collectionPath(kind, options.namespace, query);
    const request: ApiRequest = { method: "GET", path, ...(options.signal && { signal: options.signal }) };
    const response = await this.#connection.open(request);
    if (response.statusCode !== 200) {
      throw statusError(request, response.statusCode ?? 0, await readAll(response));
    }
    for await (const event of readWatchEvents(response)) {
      if (event.type === "ERROR") throw statusError(request, event.status.code, JSON.stringify(event.status));
      yield event.type === "BOOKMARK" ? event : { type: event.type, object: withKind(kind, event.object) };
    }
  }

  /** Any request with a JSON answer, for what has no method here (TokenReview, subresources). */
  raw(method: ApiRequest["method"], path: string, body?: unknown): Promise<unknown> {
    return this.#json({ method, path, ...(body !== undefined && { body }) });
  }

  /** The answer of a GET as it comes, for example a pod's log that is followed. */
  async stream(path: string, signal?: AbortSignal): Promise<IncomingMessage> {
    const request: ApiRequest = { method: "GET", path, ...(signal && { signal }) };
    const response = await this.#connection.open(request);
    if (response.statusCode !== 200) throw statusError(request, response.statusCode ?? 0, await readAll(response));
    return response;
  }

  upgrade(path: string, protocol: string): Promise<Duplex> {
    return this.#connection.upgrade(path, protocol);
  }

  close(): void {
    this.#connection.close();
  }

  async #object(request: ApiRequest): Promise<KubernetesObject> {
    return (await this.#json(request)) as KubernetesObject;
  }

  async #json(request: ApiRequest): Promise<unknown> {
    const { status, body } = await this.#connection.send(request);
    if (status < 200 || status > 299) throw statusError(request, status, body);
    try {
      return JSON.parse(body);
    } catch (cause) {
      throw new OutriggerError("API_ERROR", `${request.method} ${request.path}: the answer is not JSON`, { cause });
    }
  }
}

/** The path of a collection: `/apis/networking.istio.io/v1/namespaces/default/virtualservices`. */
function collectionPath(
  kind: CatalogEntry,
  namespace: string | undefined,
  query: Readonly<Record<string, string>> = {},
): string {
  const scope = kind.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  const search = new URLSearchParams(query).toString();
  return `${versionPath(kind)}${scope}/${kind.plural}${search === "" ? "" : `?${search}`}`;
}

function objectPath(kind: CatalogEntry, key: ObjectKey, apiVersion?: string): string {
  const namespace = key.namespace === "" || key.namespace === undefined ? "default" : key.namespace;
  const scope = kind.namespaced ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  return `${versionPath(kind, apiVersion)}${scope}/${kind.plural}/${encodeURIComponent(key.name)}`;
}

function versionPath(kind: CatalogEntry, apiVersion?: string): string {
  const version = apiVersion?.slice(apiVersion.indexOf("/") + 1) ?? kind.versions[0] ?? "v1";
  return kind.group === "" ? `/api/${version}` : `/apis/${kind.group}/${version}`;
}

function selectionQuery(selection: Selection): Record<string, string> {
  return {
    ...(selection.labelSelector && { labelSelector: selection.labelSelector }),
    ...(selection.fieldSelector && { fieldSelector: selection.fieldSelector }),
  };
}

function withKind(kind: CatalogEntry, object: KubernetesObject): KubernetesObject {
  if (object.apiVersion !== undefined && object.kind !== undefined) return object;
  const version = kind.versions[0] ?? "v1";
  return { ...object, apiVersion: kind.group === "" ? version : `${kind.group}/${version}`, kind: kind.kind };
}

async function readAll(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response as AsyncIterable<Buffer>) if (text.length < 65_536) text += chunk.toString("utf8");
  return text;
}

function statusError(request: ApiRequest, status: number, body: string): OutriggerError {
  let message = body.slice(0, 500);
  let reason = "";
  try {
    const parsed = JSON.parse(body) as { message?: unknown; reason?: unknown };
    if (typeof parsed.message === "string") message = parsed.message;
    if (typeof parsed.reason === "string") reason = parsed.reason;
  } catch {
    // Not a Status object: the text itself is the message.
  }
  const path = request.path.split("?")[0] ?? request.path;
  return new OutriggerError(errorCode(status, reason), `${request.method} ${path}: ${status} ${message}`);
}

function errorCode(status: number, reason: string): string {
  if (status === 401) return "API_UNAUTHORIZED";
  if (status === 403) return "API_FORBIDDEN";
  if (status === 404) return "API_NOT_FOUND";
  if (status === 409) return reason === "AlreadyExists" ? "API_ALREADY_EXISTS" : "API_CONFLICT";
  if (status === 410) return "API_GONE";
  if (status === 400 || status === 422) return "API_INVALID";
  return "API_ERROR";
}
